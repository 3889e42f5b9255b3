const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * Reads a span of time as commands take it: `90s`, `12h`, `30d`.
 * @throws Error that names the option
 */
export function spanSeconds(option: string, text: string): number {
  const [, digits, unit = ''] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new Error(`${option} takes a number with s, m, h or d behind it, like 90s or 12h.`);
  }
  return Number(digits) * (UNIT_SECONDS[unit] ?? 1);
}

/** How numbers, money and times are written. Money stays the decimal text that was told: it is never a float. */

const GROUPED = new Intl.NumberFormat('en-US');
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const RATE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

export function counted(value: number): string {
  return GROUPED.format(value);
}

/** @returns `12.3K`; the exact count belongs beside it, as a title */
export function compact(value: number): string {
  return value < 10_000 ? GROUPED.format(value) : SHORT.format(value);
}

export function rate(value: number): string {
  return value >= 10_000 ? SHORT.format(value) : RATE.format(value);
}

/** @returns a tenth of a per cent, cut: `99.9 %` is not all; null is a dash */
export function percent(part: number | null): string {
  return part === null ? '–' : `${(Math.floor(part * 1_000) / 10).toFixed(1)} %`;
}

/** @returns `512 B`, `3.4 KiB`, `256 MiB` */
export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  const at = Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10) - 1);
  return `${RATE.format(bytes / 1_024 ** (at + 1))} ${units[at]}`;
}

/** Decimal places of the smallest part that is told: pico-dollars. */
const PLACES = 12;

/** @returns pico-dollars */
export function picoOf(usd: string): bigint {
  const isNegative = usd.startsWith('-');
  const [whole = '0', part = ''] = usd.replace('-', '').split('.');
  const value = BigInt(whole) * 10n ** 12n + BigInt(part.slice(0, PLACES).padEnd(PLACES, '0'));
  return isNegative ? -value : value;
}

/** @returns the decimal text of so many pico-dollars */
export function usdOf(pico: bigint): string {
  const size = (pico < 0n ? -pico : pico).toString().padStart(PLACES + 1, '0');
  const part = size.slice(-PLACES).replace(/0+$/, '');
  return `${pico < 0n ? '-' : ''}${size.slice(0, -PLACES)}${part === '' ? '' : `.${part}`}`;
}

/** Pico-dollars from which on so many decimal places say enough. */
const SHOWN = [
  [10n ** 12n, 2],
  [10n ** 9n, 4],
  [10n ** 7n, 6],
] as const;

/** @returns `$1,234.56`; below a dollar `$0.0042`, below a tenth of a cent as many places as say something */
export function dollars(usd: string): string {
  const pico = picoOf(usd);
  const size = pico < 0n ? -pico : pico;
  if (size === 0n) return '$0.00';
  const sign = pico < 0n ? '-' : '';
  const places = SHOWN.find(([from]) => size >= from)?.[1] ?? 8;
  const unit = 10n ** BigInt(PLACES - places);
  const rounded = (size + unit / 2n) / unit;
  if (rounded === 0n) return `${sign}<$0.00000001`;
  const scale = 10n ** BigInt(places);
  const part = (rounded % scale).toString().padStart(places, '0');
  return `${sign}$${GROUPED.format(rounded / scale)}.${part}`;
}

/** For axes alone, where a float does no harm. */
export function dollarsOnAxis(usd: number): string {
  if (usd === 0) return '$0';
  if (Math.abs(usd) < 0.01) return `$${usd.toPrecision(1)}`;
  return `$${usd < 1_000 ? Number(usd.toFixed(2)) : SHORT.format(usd)}`;
}

/** @returns `840 ms`, `1.24 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`; null is a dash */
export function duration(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${RATE.format(Math.round(ms / 10) / 100)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return both(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1_440) return both(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  return both(Math.floor(minutes / 1_440), 'd', Math.round((minutes % 1_440) / 60), 'h');
}

function both(large: number, unit: string, small: number, smaller: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = `${zone} ${JSON.stringify(options)}`;
  let made = formats.get(name);
  if (made === undefined) {
    made = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options });
    formats.set(name, made);
  }
  return made;
}

const DAY = { day: 'numeric', month: 'short' } as const;
const MINUTE = { hour: '2-digit', minute: '2-digit' } as const;

/** @returns `29 Nov, 16:24:03` */
export function instant(at: string, zone: string): string {
  return format(zone, { ...DAY, ...MINUTE, second: '2-digit' }).format(new Date(at));
}

/** @returns `29 Nov 2026, 16:24` */
export function minuteOf(at: string, zone: string): string {
  return format(zone, { ...DAY, year: 'numeric', ...MINUTE }).format(new Date(at));
}

/** How the beginning of a step is written, at an axis and in a table. */
export function stepName(at: string, step: string, zone: string): string {
  const date = new Date(at);
  if (step === 'month') return format(zone, { month: 'short', year: 'numeric' }).format(date);
  if (step === 'day') return format(zone, { ...DAY }).format(date);
  return format(zone, { ...DAY, ...MINUTE }).format(date);
}

/** @returns `in 3 h`, `2 min ago` */
export function fromNow(at: string, now = Date.now()): string {
  const ms = Date.parse(at) - now;
  const size = duration(Math.max(1_000, Math.round(Math.abs(ms) / 1_000) * 1_000));
  const rough = size.split(' ').slice(0, 2).join(' ');
  return ms >= 0 ? `in ${rough}` : `${rough} ago`;
}

/** How long a provider asks to be left alone, in all the spellings that are in use. */

/** What is believed at most, in milliseconds: some gateways answer with hours, and a key would be lost for a day. */
export const RETRY_AFTER_MAX_MS = 600_000;

/**
 * @param fields a response's fields, flat list, names in any case
 * @param nowMs the wall clock, for a date
 * @returns milliseconds from now, at most RETRY_AFTER_MAX_MS; null when nothing legible is said
 */
export function retryAfterMs(fields: readonly string[], nowMs: number): number | null {
  let found: number | null = null;
  for (let at = 0; at < fields.length; at += 2) {
    const name = (fields[at] ?? '').toLowerCase();
    const value = (fields[at + 1] ?? '').trim();
    // OpenAI and Azure: milliseconds, more exact than the field they stand beside.
    if (name === 'retry-after-ms' || name === 'x-ms-retry-after-ms') {
      const ms = decimal(value);
      if (ms !== null) return bounded(ms);
    } else if (name === 'retry-after') {
      // RFC 9110 §10.2.3: seconds or a date; fractions are in use.
      const seconds = decimal(value);
      const ms = seconds === null ? dateMs(value) - nowMs : seconds * 1_000;
      if (Number.isFinite(ms)) found = bounded(ms);
    }
  }
  return found;
}

// google.rpc.RetryInfo (github.com/googleapis/googleapis, google/rpc/error_details.proto): a Duration as JSON has it.
const RETRY_DELAY = /"retryDelay"\s*:\s*"(\d{1,7}(?:\.\d{1,9})?)s"/;

/** @param body the start of an error's body; Google says the wait there */
export function retryDelayMs(body: string): number | null {
  const seconds = RETRY_DELAY.exec(body)?.[1];
  return seconds === undefined ? null : bounded(Number(seconds) * 1_000);
}

/** @returns NaN for what is no HTTP date: `Date.parse` alone reads years into any number */
function dateMs(value: string): number {
  return /^[A-Za-z]{3,9}, /.test(value) ? Date.parse(value) : Number.NaN;
}

function decimal(value: string): number | null {
  return /^\d{1,12}(?:\.\d{1,9})?$/.test(value) ? Number(value) : null;
}

function bounded(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), RETRY_AFTER_MAX_MS);
}

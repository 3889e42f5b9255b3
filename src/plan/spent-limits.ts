/** What a provider says of its own limits in an answer: a key that has none left is better left alone until they are back. */

/** What is believed at most, in milliseconds: a limit of a day would take a key away for one. */
const SPENT_MAX_MS = 600_000;

/** OpenAI's spelling, which most take, and Anthropic's (docs.anthropic.com/en/api/rate-limits, "Response headers"). */
const REMAINING =
  /^(?:x-ratelimit-remaining-(requests|tokens)|anthropic-ratelimit-(requests|tokens|input-tokens|output-tokens)-remaining)$/;

/** Go's durations, as OpenAI and Groq write them: `6m0s`, `1.5s`, `20ms`. */
const DURATION =
  /^(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?$/;

/**
 * For how long a key has nothing left of a limit. What OpenAI and Anthropic say is when the limit is full again, which is
 * later than when one request fits: it is a reason to ask another key, and none to refuse a request.
 * @param fields a response's fields, flat list, names in any case
 * @param clock the wall clock in milliseconds, asked where something is spent
 * @returns milliseconds, at most SPENT_MAX_MS; 0 when something is left of each, or nobody says until when
 */
export function spentForMs(fields: readonly string[], clock: () => number): number {
  let longest = 0;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    // Of nearly all answers none: names are not looked at then.
    if (fields[at + 1] !== '0') continue;
    const [name, common, anthropic] = REMAINING.exec((fields[at] ?? '').toLowerCase()) ?? [];
    if (name === undefined) continue;
    const reset =
      common === undefined
        ? `anthropic-ratelimit-${anthropic}-reset`
        : `x-ratelimit-reset-${common}`;
    longest = Math.max(longest, resetMs(fields, reset, clock()));
  }
  return Math.min(Math.ceil(longest), SPENT_MAX_MS);
}

function resetMs(fields: readonly string[], name: string, nowMs: number): number {
  const at = fields.findIndex((one, index) => index % 2 === 0 && one.toLowerCase() === name);
  const value = at < 0 ? '' : (fields[at + 1] ?? '').trim();
  if (/^\d{4}-\d\d-\d\dT/.test(value)) {
    const ms = Date.parse(value) - nowMs;
    return Number.isFinite(ms) ? ms : 0;
  }
  // Azure's are seconds.
  if (/^\d{1,9}(?:\.\d{1,9})?$/.test(value)) return Number(value) * 1_000;
  const [, hours = 0, minutes = 0, seconds = 0, ms = 0] = DURATION.exec(value) ?? [];
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000 + Number(ms);
}

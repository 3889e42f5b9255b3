/**
 * What a caller says of the cache: `on` has an answer kept that its body alone would not; `refresh` has it made anew; `off` keeps
 * out of it. `unknown` is passed over like any other wish that is none.
 */
export type CacheWish = 'unsaid' | 'on' | 'off' | 'refresh' | 'unknown';

/** RFC 9111 §5.2.1.5: nothing of the request or of its answer is stored. */
const NO_STORE = /(?:^|,)\s*no-store\s*(?:,|$)/i;

/** @param fields flat list with lower-case names */
export function cacheWish(fields: readonly string[]): CacheWish {
  let wish: CacheWish = 'unsaid';
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    // Wherever it stands. What is played is no answer.
    if (name === 'cache-control' && NO_STORE.test(value)) return 'off';
    if (name === 'x-sluice-rehearse') return 'off';
    if (name === 'x-sluice-cache') wish = wishOf(value.trim().toLowerCase());
  }
  return wish;
}

function wishOf(value: string): CacheWish {
  return value === 'on' || value === 'off' || value === 'refresh' ? value : 'unknown';
}

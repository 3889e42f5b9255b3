import type { z } from 'zod';
import type { PurgeScope, Surveyed } from '../../cache/answer-store.ts';
import type { CacheState } from '../../cache/cache-state.ts';
import { usdText } from '../../prices/money.ts';
import { type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { CACHE, NO_PATH, NO_QUERY, PURGE_WISH, PURGED } from '../shapes.ts';
import { instantText } from '../usage-wish.ts';

type Shown = z.output<typeof CACHE>;

/** Of nano-dollars. */
const PICO_PER_NANO = 1_000n;

/** What the main thread knows and does of the cache of answers. */
export interface CacheRoom {
  state(): Promise<CacheState>;
  /** @returns how many; null: not yet */
  purge(of: PurgeScope): Promise<number | null>;
}

/** How the cache of answers stands, and an operator's word that some of them are to go. */
export function cacheOperations(cache: CacheRoom): readonly Operation[] {
  return [
    operation({
      id: 'cache',
      method: 'GET',
      path: '/cache',
      summary:
        'How the cache of answers stands: hits, money saved, the largest answers. Never their content.',
      tag: 'cache',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Counted since this node started.', schema: CACHE } },
      problems: ['unavailable'],
      writes: false,
      run: async () => ({ status: 200, body: shown(await cache.state()) }),
    }),
    operation({
      id: 'purgeCache',
      method: 'POST',
      path: '/cache/purge',
      summary:
        "Throws answers away: a tenant's, a key's, or all of this node's cache, or of its Redis.",
      tag: 'cache',
      role: 'operator',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: PURGE_WISH,
      answers: { 200: { says: 'How many there were.', schema: PURGED } },
      problems: ['unavailable'],
      writes: true,
      run: async ({ caller: { tenants }, body: { tenant = null, key = null } }) => {
        if (tenants !== null && (tenant === null || !tenants.has(tenant)))
          throw new Problem('not_allowed', 'Name a tenant that is yours.');
        const answers = await cache.purge({ tenant, key });
        return { status: 200, body: { answers }, audited: { after: { tenant, key, answers } } };
      },
    }),
  ];
}

function shown(state: CacheState): Shown {
  const { requests, survey } = state;
  const told = requests.hit + requests.shared;
  const asked = told + requests.miss + requests.away;
  return {
    store: state.store,
    is_up: state.isUp,
    max_bytes: state.maxBytes,
    answers: survey?.answers ?? null,
    bytes: survey?.bytes ?? null,
    whole: survey?.isWhole ?? false,
    evicted: state.evicted,
    requests,
    hit_rate: asked === 0 ? null : told / asked,
    kept: state.kept,
    unkept: state.unkept,
    saved_usd: usdText(BigInt(Math.round(state.savedNano)) * PICO_PER_NANO),
    largest: (survey?.largest ?? []).map(rowOf),
  };
}

function rowOf({ madeMs, expiresMs, ...row }: Surveyed): Shown['largest'][number] {
  return {
    ...row,
    made: madeMs === null ? null : instantText(madeMs),
    expires: expiresMs === null ? null : instantText(expiresMs),
  };
}

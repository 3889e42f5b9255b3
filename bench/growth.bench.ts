// What a request costs when there is more of something: npm run bench:growth [-- --quick --rounds 5 --seconds 1]
// Each size has a gateway of its own, one worker, warmed up; CPU is the median of `rounds` windows. Growth is the exponent
// of size in cost, over all sizes and of the steepest step: 0 is flat, 1 is linear.
import { PROVIDERS_MAX, providerTable } from '../src/providers/providers.ts';
import { freePort } from '../test/support/free-port.ts';
import { token } from '../test/support/managed.ts';
import { answerOf, CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST, requestOf } from './chat.ts';
import { denySettings } from './growth/deny-snapshot.ts';
import { type GrowthTable, growthTable, type Setting } from './growth/growth-table.ts';
import { BodyUpstream, JsonLoad } from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { NGINX, type Peer, sluice } from './peers/peer.ts';
import { needCommands } from './peers/processes.ts';
import { startSluice } from './peers/sluice.ts';
import { writeSection } from './results.ts';
import { extent } from './rounds.ts';
import { tokens } from './tokens.ts';

const run = extent({ rounds: 3, seconds: 0.6 }, { rounds: 2, seconds: 0.3 });
const CONNECTIONS = 32;
/** Bodies of 64 MiB: each connection holds one. */
const BODY_CONNECTIONS = 4;
/**
 * A worker remembers 65,536 tokens (`src/admit/verified-tokens.ts`). So many requests fill that memory before anything is
 * measured, and the sequence is so long that who comes again in it has been forgotten, or is one of few enough callers.
 */
const FILLING = run.quick ? 10_000 : 70_000;
const DRAWS_MAX = 2 * FILLING;

/** A quick run looks at the ends. */
const sizes = (...all: readonly number[]): readonly number[] =>
  run.quick ? [all[0] ?? 0, all.at(-1) ?? 0] : all;

needCommands('nginx');
const load = new JsonLoad();
const upstream = await freePort();
await startStaticUpstream(upstream, CHAT_ANSWER);
const bodies = new BodyUpstream();
const bodyUpstream = await bodies.listen();

const usual = {
  callers: () => [[CHAT_PATH, token()] as const],
  body: CHAT_REQUEST,
  connections: CONNECTIONS,
  upstream,
};
const ofBodies = { ...usual, connections: BODY_CONNECTIONS, upstream: bodyUpstream };

const concurrency = (peer: Peer): readonly Setting[] =>
  sizes(1, 10, 100, 1_000, 5_000).map((size) => ({
    ...usual,
    size,
    start: peer.start,
    callers: () => [[CHAT_PATH, peer.key]],
    connections: size,
  }));

const BODY_SIZES = sizes(1_024, 65_536, 4_194_304, 67_108_864);

const uploads: readonly Setting[] = BODY_SIZES.map((size) => ({
  ...ofBodies,
  size,
  body: requestOf(size),
  prepare: () => bodies.answer(CHAT_ANSWER),
}));

const downloads: readonly Setting[] = BODY_SIZES.map((size) => ({
  ...ofBodies,
  size,
  prepare: () => bodies.answer(answerOf(size)),
}));

const keys: readonly Setting[] = sizes(1, 30_000, 100_000, 1_000_000).map((size) => ({
  ...usual,
  size,
  callers: () => tokens(size, DRAWS_MAX).map((one) => [CHAT_PATH, one]),
  before: Math.min(size, FILLING),
}));

const denied: readonly Setting[] = sizes(0, 1_000, 100_000, 1_000_000).map((size) => ({
  ...usual,
  size,
  start: async (port, up) => startSluice(port, up, { settings: await denySettings(size) }),
}));

/** As many as a table can have: the built-in ones, then others, all of them at one upstream. */
const NAMES = [
  ...providerTable([]).map(({ name }) => name),
  ...Array.from({ length: PROVIDERS_MAX }, (_, i) => `provider-${i}`),
].slice(0, PROVIDERS_MAX);

const providers: readonly Setting[] = sizes(1, 10, PROVIDERS_MAX).map((size) => ({
  ...usual,
  size,
  start: (port, up) => startSluice(port, up, { providers: NAMES.slice(0, size) }),
  callers: () => NAMES.slice(0, size).map((name) => [`/${name}${CHAT_PATH}`, token()] as const),
}));

const TABLES: readonly (readonly [title: string, unit: string, settings: readonly Setting[]])[] = [
  // What the kernel and the load itself add with each connection shows in it.
  ['Concurrency, nginx, to compare with', 'connections', concurrency(NGINX)],
  ["Concurrency, callers' own keys", 'connections', concurrency(sluice('BYO', 1))],
  ['Concurrency, managed', 'connections', concurrency(sluice('managed', 1))],
  ['Request body, managed', 'bytes', uploads],
  ['Response body, managed', 'bytes', downloads],
  ['Managed keys, drawn evenly', 'keys', keys],
  ['Tenants cut off', 'tenants', denied],
  ['Providers in use', 'providers', providers],
];

const tables: GrowthTable[] = [];
for (const [title, unit, settings] of TABLES)
  tables.push(await growthTable(load, run, [title, unit], settings));
writeSection('growth', { ...run, tables });
process.exit(0);

// What a request costs when there is more of something: npm run bench:growth [-- --quick --rounds 3 --seconds 1]
// Each size has a gateway of its own, one worker, warmed up; CPU is the median of `rounds` windows. Growth is the exponent
// of size in cost, over all sizes and of the steepest step: 0 is flat, 1 is linear.
import { PROVIDERS_MAX, providerTable } from '../src/admit/providers.ts';
import { freePort } from '../test/support/free-port.ts';
import { token } from '../test/support/managed.ts';
import { answerOf, CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST, requestOf } from './chat.ts';
import { denySettings } from './growth/deny-snapshot.ts';
import { type GrowthTable, growthTable, type Setting } from './growth/growth-table.ts';
import { BodyUpstream, JsonLoad } from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { writeSection } from './results.ts';
import { extent } from './rounds.ts';
import { tokens } from './tokens.ts';

const run = extent({ rounds: 3, seconds: 1 }, { rounds: 2, seconds: 0.5 });
const CONNECTIONS = 32;
/** Bodies of 64 MiB: each connection holds one. */
const BODY_CONNECTIONS = 4;
/** More than the tokens that a worker remembers, so that who was drawn long ago has been forgotten. */
const DRAWS = run.quick ? 10_000 : 80_000;

/** A quick run looks at the ends. */
const sizes = (...all: readonly number[]): readonly number[] =>
  run.quick ? [all[0] ?? 0, all.at(-1) ?? 0] : all;

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

const concurrency = (key: string): readonly Setting[] =>
  sizes(1, 10, 100, 1_000, 5_000).map((size) => ({
    ...usual,
    size,
    callers: () => [[CHAT_PATH, key]],
    connections: size,
  }));

const BODY_SIZES = sizes(1_024, 16_384, 262_144, 4_194_304, 67_108_864);

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

const keys: readonly Setting[] = sizes(1, 100, 10_000, 100_000, 1_000_000).map((size) => ({
  ...usual,
  size,
  callers: () => tokens(size, DRAWS).map((one) => [CHAT_PATH, one]),
  before: Math.min(size, DRAWS),
}));

const denied: readonly Setting[] = sizes(0, 1_000, 100_000, 1_000_000).map((size) => ({
  ...usual,
  size,
  gateway: { settings: denySettings(size) },
}));

/** As many as a table can have: the built-in ones, then others, all of them at one upstream. */
const NAMES = [
  ...providerTable([]).map(({ name }) => name),
  ...Array.from({ length: PROVIDERS_MAX }, (_, i) => `provider-${i}`),
].slice(0, PROVIDERS_MAX);

const providers: readonly Setting[] = sizes(1, 10, PROVIDERS_MAX).map((size) => ({
  ...usual,
  size,
  gateway: { providers: NAMES.slice(0, size) },
  callers: () => NAMES.slice(0, size).map((name) => [`/${name}${CHAT_PATH}`, token()] as const),
}));

const TABLES: readonly (readonly [title: string, unit: string, settings: readonly Setting[]])[] = [
  ['Concurrency, own keys', 'connections', concurrency('sk-own')],
  ['Concurrency, managed', 'connections', concurrency(token())],
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

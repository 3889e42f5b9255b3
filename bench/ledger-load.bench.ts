/**
 * What the ledger does under load: npm run bench:ledger-load [-- --quick --rounds 6 --seconds 4]
 * First how a gateway answers while 20,000 facts a second are kept beside it, in turn with nothing beside; then how fast a real
 * Postgres that was away gets what waited.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SqliteLedger } from '../src/ledger/ledger-store.ts';
import { Outbox } from '../src/ledger/outbox.ts';
import { PostgresSink } from '../src/ledger/postgres-sink.ts';
import { until } from '../test/support/conditions.ts';
import { factLine, requestIdOf } from '../test/support/facts.ts';
import { freePort } from '../test/support/free-port.ts';
import { ROOT } from '../test/support/gateway.ts';
import { POSTGRES_MISSING, PostgresServer } from '../test/support/postgres.ts';
import { CHAT_ANSWER, CHAT_PATH, MODEL, requestFor } from './chat.ts';
import { callersFile, flood, JsonLoad } from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { lanes } from './peers/peer.ts';
import { FOLDER, needCommands, Running } from './peers/processes.ts';
import { ranged, warnWhenBusy, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { ratios, type Spread, spread } from './statistics.ts';

const { quick, rounds, seconds } = extent({ rounds: 6, seconds: 4 }, { rounds: 2, seconds: 2 });
const FACTS_PER_SECOND = 20_000;
const REQUESTS_PER_SECOND = 1_000;
const CONNECTIONS = 32;
const WAITED = quick ? 20_000 : 200_000;
const DAY_MS = 86_400_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Sample {
  readonly p99Ms: number;
  /** Facts that were kept a second; 0 with nothing beside. */
  readonly kept: number;
  /** Of one core, what keeping them took. */
  readonly cores: number;
}

async function besideFacts(): Promise<object> {
  const upstream = await freePort();
  await startStaticUpstream(upstream, CHAT_ANSWER);
  const peer = lanes(1).find(({ name }) => name.includes('with a ledger'));
  if (peer === undefined) throw new Error('no such lane');
  const port = await freePort();
  const gateway = await peer.start(port, upstream);
  const requests = { port, fields: peer.fields(upstream), body: requestFor(MODEL, false) };
  const caller = [peer.path ?? CHAT_PATH, peer.key] as const;
  const load = new JsonLoad();
  await load.target(requests, callersFile('caller-ledger', [caller]));
  await flood(requests, caller, CONNECTIONS, 3);

  const answers = async (): Promise<number> => {
    await load.connect(CONNECTIONS);
    const { p99Ms, refused, broken, unanswered } = await load.open(REQUESTS_PER_SECOND, seconds);
    if (refused + broken + unanswered > 0) throw new Error('not every request was answered');
    return p99Ms;
  };
  const measure = async (isBeside: boolean): Promise<Sample> => {
    if (!isBeside) return { p99Ms: await answers(), kept: 0, cores: 0 };
    const folder = mkdtempSync(join(FOLDER, 'facts-'));
    const script = join(ROOT, 'bench/ends/fact-stream.ts');
    const beside = new Running(process.execPath, [script, folder, String(FACTS_PER_SECOND)]);
    const { stdout, stdin } = beside.child;
    if (stdout === null || stdin === null) throw new Error('it has no pipes');
    const told = text(stdout);
    const p99Ms = await answers();
    stdin.end();
    const { perSecond, cores } = JSON.parse(await told) as { perSecond: number; cores: number };
    rmSync(folder, { recursive: true, force: true });
    return { p99Ms, kept: perSecond, cores };
  };
  const samples = await interleaved(rounds, [false, true], measure);
  await load.stop();
  await gateway.stop();
  const of = (isBeside: boolean, member: keyof Sample): readonly number[] =>
    (samples.get(isBeside) ?? []).map((sample) => sample[member]);
  const kept = spread(of(true, 'kept'));
  const cores = spread(of(true, 'cores'));
  const alone = spread(of(false, 'p99Ms'));
  const ratio: Spread = ratios(of(true, 'p99Ms'), of(false, 'p99Ms'));
  say(`facts kept: ${ranged(kept, 0)} a second, in ${ranged(cores, 2)} of a core`);
  say(
    `p99 at ${REQUESTS_PER_SECOND} requests a second with nothing beside: ${ranged(alone, 2)} ms`,
  );
  say(`p99 while they are kept, as a ratio to that: ${ranged(ratio, 2)}`);
  return { kept, cores, alone, ratio };
}

async function afterAnOutage(): Promise<object> {
  const table = /```sql\n(CREATE TABLE ai_usage \(\n {2}request_id[\s\S]*?);\n/.exec(
    readFileSync(join(ROOT, 'docs/facts.md'), 'utf8'),
  )?.[1];
  const postgres = await PostgresServer.start();
  postgres.sql(table ?? '');
  const folder = mkdtempSync(join(tmpdir(), 'sluice-catch-up-'));
  const ledger = new SqliteLedger(folder);
  await postgres.down();
  let sent = 0;
  let firstAt = 0;
  let lastAt = 0;
  const states: (string | null)[] = [];
  const outbox = new Outbox(ledger, new PostgresSink(postgres.url), {
    sent: (facts) => {
      lastAt = performance.now();
      if (firstAt === 0) firstAt = lastAt;
      else sent += facts;
    },
    state: (failure) => states.push(failure),
  });
  const beganMs = Date.now() - DAY_MS;
  for (let from = 0; from < WAITED; from += 5_000) {
    const lines = Array.from({ length: 5_000 }, (_, at) =>
      factLine({
        timeMs: beganMs + ((from + at) / WAITED) * DAY_MS,
        requestId: requestIdOf(from + at),
      }),
    );
    ledger.add(Buffer.from(`${lines.join('\n')}\n`));
  }
  const running = outbox.run();
  await until('it to be missed', () => states.length > 0);
  await postgres.up();
  await until(
    'all of it to be there',
    () => Number(postgres.sql('SELECT count(*) FROM ai_usage')) === WAITED,
    600_000,
  );
  outbox.stop();
  await running;
  ledger.close();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
  const perSecond = (sent / (lastAt - firstAt)) * 1_000;
  say(`caught up: ${WAITED} facts, ${Math.round(perSecond)} a second`);
  return { facts: WAITED, perSecond };
}

needCommands('nginx');
warnWhenBusy();
const beside = await besideFacts();
if (POSTGRES_MISSING !== null) say(`catching up ${POSTGRES_MISSING}`);
const caughtUp = POSTGRES_MISSING === null ? await afterAnOutage() : null;
writeSection('ledger-load', { quick, rounds, seconds, beside, caughtUp });

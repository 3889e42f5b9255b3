/**
 * What the console costs the data plane: npm run bench:console-load [-- --quick --rounds 8 --seconds 5]
 * A gateway is asked 1,000 times a second with nothing beside, with fifty live screens, and with fifty live screens and ten thousand
 * admin calls a second, in turn: its p99, and the CPU of its threads.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { adminTokenTable } from '../src/command/admin-token.ts';
import { newAdminToken } from '../src/console/admin-token.ts';
import { freePort } from '../test/support/free-port.ts';
import { ROOT } from '../test/support/gateway.ts';
import { token } from '../test/support/managed.ts';
import { CHAT_ANSWER, CHAT_PATH, MODEL, requestFor } from './chat.ts';
import { callersFile, flood, JsonLoad } from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { FOLDER, needCommands, Running } from './peers/processes.ts';
import { startSluice } from './peers/sluice.ts';
import { ranged, warnWhenBusy, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { differences, ratios, spread } from './statistics.ts';
import { type ThreadCpu, threadCpu } from './thread-cpu.ts';

const { quick, rounds, seconds } = extent({ rounds: 8, seconds: 5 }, { rounds: 2, seconds: 2 });
const REQUESTS_PER_SECOND = 1_000;
const CONNECTIONS = 32;
const SCREENS = 50;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** What is beside the requests: live screens, admin calls a second. */
const CASES = { nothing: [0, 0], screens: [SCREENS, 0], flood: [SCREENS, 10_000] } as const;
type Case = keyof typeof CASES;

/** Of a measurement: CPU as a share of one core. */
interface Sample extends ThreadCpu {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What the other side wrote and got a second. */
  readonly written: number;
  readonly answered: number;
}

needCommands('nginx');
warnWhenBusy();
const upstream = await freePort();
await startStaticUpstream(upstream, CHAT_ANSWER);
const admin = newAdminToken();
const port = await freePort();
const tables = adminTokenTable('bench', admin, 'owner', []);
const gateway = await startSluice(port, upstream, { workers: 1, tables });
const log = readFileSync(join(FOLDER, `sluice-${port}.log`), 'utf8');
const adminPort = /"metrics_listen":"127\.0\.0\.1:(\d+)"/.exec(log)?.[1] ?? '';
const requests = { port, fields: '', body: requestFor(MODEL, false) };
const caller = [`/openai${CHAT_PATH}`, token({ keyId: 1n })] as const;
const load = new JsonLoad();
await load.target(requests, callersFile('caller-console', [caller]));
await flood(requests, caller, CONNECTIONS, 3);

async function measure(what: Case): Promise<Sample> {
  const [screens, rate] = CASES[what];
  const script = join(ROOT, 'bench/ends/admin-flood.ts');
  const words = [script, adminPort, admin, String(screens), String(rate)];
  const beside = new Running(process.execPath, ['--no-warnings', ...words]);
  const { stdout, stdin } = beside.child;
  if (stdout === null || stdin === null) throw new Error('it has no pipes');
  const told = text(stdout);
  await load.connect(CONNECTIONS);
  const before = threadCpu(gateway.pid);
  const beganMs = performance.now();
  const { p50Ms, p99Ms, refused, broken, unanswered } = await load.open(
    REQUESTS_PER_SECOND,
    seconds,
  );
  const ms = performance.now() - beganMs;
  const after = threadCpu(gateway.pid);
  stdin.end();
  const said = JSON.parse(await told) as Record<
    'written' | 'answered' | 'events' | 'seconds',
    number
  >;
  if (refused + broken + unanswered > 0) throw new Error('not every request was answered');
  if (screens > 0 && said.events < screens) throw new Error('not every screen was live');
  const share = (of: keyof ThreadCpu): number => (after[of] - before[of]) / ms;
  return {
    p50Ms,
    p99Ms,
    main: share('main'),
    console: share('console'),
    workers: share('workers'),
    written: said.written / said.seconds,
    answered: said.answered / said.seconds,
  };
}

const samples = await interleaved(rounds, ['nothing', 'screens', 'flood'] as const, measure);
await load.stop();
await gateway.stop();
const of = (what: Case, member: keyof Sample): readonly number[] =>
  (samples.get(what) ?? []).map((sample) => sample[member]);
const told: Record<string, unknown> = {};
say(`p99 with nothing beside: ${ranged(spread(of('nothing', 'p99Ms')), 2)} ms`);
say(`workers with nothing beside: ${ranged(spread(of('nothing', 'workers')), 3)} of a core`);
for (const what of ['screens', 'flood'] as const) {
  const row = {
    p50: ratios(of(what, 'p50Ms'), of('nothing', 'p50Ms')),
    p99: ratios(of(what, 'p99Ms'), of('nothing', 'p99Ms')),
    workers: differences(of(what, 'workers'), of('nothing', 'workers')),
    main: differences(of(what, 'main'), of('nothing', 'main')),
    console: differences(of(what, 'console'), of('nothing', 'console')),
    written: spread(of(what, 'written')),
    answered: spread(of(what, 'answered')),
  };
  told[what] = row;
  say(`${what}: p50 ${ranged(row.p50, 3)}, p99 ${ranged(row.p99, 3)} of that with nothing beside`);
  say(
    `  of a core more: workers ${ranged(row.workers, 3)}, main ${ranged(row.main, 3)}, console ${ranged(row.console, 3)}`,
  );
  say(`  written ${ranged(row.written, 0)} a second, answered ${ranged(row.answered, 0)}`);
}
writeSection('console-load', { quick, rounds, seconds, ...told });
process.exit(0);

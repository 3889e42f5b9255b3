// Whether this checkout costs more or less than another one: npm run bench -- --against REF [--quick --rounds 5]
// Both gateways are started anew in each round, warmed up, and measured in turn; nothing here passes or fails.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../test/support/free-port.ts';
import { ROOT } from '../test/support/gateway.ts';
import { CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST } from './chat.ts';
import { giveUp } from './command-line.ts';
import { cpuOf, flood, StreamLoad, warm } from './load.ts';
import { startStaticUpstream } from './peers/nginx.ts';
import { type Peer, sluice } from './peers/peer.ts';
import { FOLDER, needCommands } from './peers/processes.ts';
import { fixed, printTable, ranged, writeSection } from './results.ts';
import { type Extent, interleaved } from './rounds.ts';
import { ratios, type Spread, spread } from './statistics.ts';

const CONNECTIONS = 32;
const STREAMS = 500;
const EVENTS_PER_SECOND = 10_000;

/**
 * Checks a ref out beside this checkout, with what its lock file asks for.
 *
 * @returns the folder; it is gone when the process ends
 */
function checkOut(ref: string): string {
  const folder = join(FOLDER, 'against');
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  // Registered behind the handler that removes FOLDER: the work tree is gone by then.
  process.on('exit', () => git('worktree', 'prune'));
  git('worktree', 'add', '--detach', folder, ref);
  const lockOf = (root: string): string => readFileSync(join(root, 'package-lock.json'), 'utf8');
  if (lockOf(ROOT) === lockOf(folder)) {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  } else {
    process.stderr.write(`${ref} has another lock file: npm ci\n`);
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'ignore' });
  }
  return folder;
}

/** Something that both are measured by: microseconds of CPU for one unit, from start to stop of a gateway. */
interface Measure {
  readonly name: string;
  readonly of: (root: string, seconds: number) => Promise<number>;
}

async function requestCost(peer: Peer, upstream: number, seconds: number): Promise<number> {
  const port = await freePort();
  const running = await peer.start(port, upstream);
  const requests = { port, fields: '', body: CHAT_REQUEST };
  const load = async (forSeconds: number) => {
    const { requests: units } = await flood(
      requests,
      [CHAT_PATH, peer.key],
      CONNECTIONS,
      forSeconds,
    );
    return { units };
  };
  await warm(running.pid, () => load(1));
  const { cpuUs, result } = await cpuOf(running.pid, () => load(seconds));
  await running.stop();
  return cpuUs / result.units;
}

async function eventCost(peer: Peer, seconds: number): Promise<number> {
  const load = new StreamLoad();
  const upstream = await load.listen();
  const port = await freePort();
  const running = await peer.start(port, upstream);
  await load.open(port, peer, STREAMS);
  const run = async (forSeconds: number) => {
    const { events } = await load.run(EVENTS_PER_SECOND, forSeconds);
    return { units: events };
  };
  await warm(running.pid, () => run(1));
  const { cpuUs, result } = await cpuOf(running.pid, () => run(seconds));
  await load.close();
  await load.stop();
  await running.stop();
  return cpuUs / result.units;
}

interface Comparison {
  readonly name: string;
  readonly hereUs: Spread;
  readonly thereUs: Spread;
  readonly ratio: Spread;
}

function measuresOf(upstream: number): readonly Measure[] {
  const kinds = ['BYO', 'managed'] as const;
  return [
    ...kinds.map((kind) => ({
      name: `JSON request, ${kind}`,
      of: (root: string, seconds: number) => requestCost(sluice(kind, 1, root), upstream, seconds),
    })),
    ...kinds.map((kind) => ({
      name: `event, ${kind}`,
      of: (root: string, seconds: number) => eventCost(sluice(kind, 1, root), seconds),
    })),
  ];
}

/** @param ref anything that git resolves to a commit */
export async function against(ref: string, { rounds, seconds }: Extent): Promise<void> {
  const named = spawnSync('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], {
    cwd: ROOT,
  });
  if (named.status !== 0) giveUp(`--against: git knows no commit by the name ${ref}.`);
  needCommands('nginx', 'wrk');
  const there = checkOut(ref);
  const upstream = await freePort();
  await startStaticUpstream(upstream, CHAT_ANSWER);
  const rows: Comparison[] = [];
  for (const { name, of } of measuresOf(upstream)) {
    const samples = await interleaved(rounds, [ROOT, there], (root) => of(root, seconds));
    const [here = [], other = []] = [samples.get(ROOT), samples.get(there)];
    const ratio = ratios(here, other);
    rows.push({ name, hereUs: spread(here), thereUs: spread(other), ratio });
  }
  printTable(
    `CPU, this checkout beside ${ref}, ${rounds} rounds of fresh processes, one worker each`,
    [
      { title: 'of', cell: ({ name }) => name },
      { title: `here : ${ref}`, cell: ({ ratio }) => ranged(ratio, 3) },
      { title: 'us here', cell: ({ hereUs }) => fixed(hereUs.median, 1) },
      { title: `us ${ref}`, cell: ({ thereUs }) => fixed(thereUs.median, 1) },
    ],
    rows,
  );
  writeSection('against', { ref, rounds, seconds, rows });
}

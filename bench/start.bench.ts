// From nothing to the first 200 through it, beside what people use: npm run bench:start [-- --quick --rounds 7]
// Each round starts every peer anew, by the command that starts it, and asks until an answer of the upstream comes back.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pause } from '../test/support/conditions.ts';
import { freePort } from '../test/support/free-port.ts';
import { CHAT_ANSWER, CHAT_PATH, CHAT_REQUEST } from './chat.ts';
import { otherPeers, type Peer, sluice } from './peers/peer.ts';
import { needCommands } from './peers/processes.ts';
import { printTable, ranged, writeSection } from './results.ts';
import { extent, interleaved } from './rounds.ts';
import { type Spread, spread } from './statistics.ts';

const { rounds } = extent({ rounds: 7, seconds: 1 }, { rounds: 3, seconds: 1 });
const ASK_EVERY_MS = 4;
const GOAL_MS = 500;

const isAnswered = async (peer: Peer, port: number, upstream: number): Promise<boolean> => {
  const fields = peer.fields(upstream).split('\r\n').slice(0, -1);
  const named = fields.map((line) => line.split(': ', 2) as [string, string]);
  try {
    const response = await fetch(`http://127.0.0.1:${port}${CHAT_PATH}`, {
      method: 'POST',
      body: CHAT_REQUEST,
      headers: [
        ['content-type', 'application/json'],
        ['authorization', `Bearer ${peer.key}`],
        ...named,
      ],
    });
    return response.status === 200 && (await response.text()) === CHAT_ANSWER;
  } catch {
    return false;
  }
};

async function startMs(peer: Peer, upstream: number): Promise<number> {
  const port = await freePort();
  const beganMs = performance.now();
  const starting = peer.start(port, upstream);
  while (!(await isAnswered(peer, port, upstream))) await pause(ASK_EVERY_MS);
  const tookMs = performance.now() - beganMs;
  await (await starting).stop();
  return tookMs;
}

needCommands('nginx');
const upstream = createServer((request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(CHAT_ANSWER);
  });
}).listen(0, '127.0.0.1');
await once(upstream, 'listening');
const { port } = upstream.address() as AddressInfo;

const peers = [...otherPeers(), sluice('BYO', 1), sluice('managed', 1), sluice('managed', 2)];
for (const peer of peers) await startMs(peer, port);
const samples = await interleaved(rounds, peers, (peer) => startMs(peer, port));

interface Row {
  readonly name: string;
  readonly ms: Spread;
}
const rows: Row[] = peers.map((peer) => ({
  name: peer.name,
  ms: spread(samples.get(peer) ?? []),
}));
printTable<Row>(
  `From the start to the first answer of the upstream, milliseconds (goal: ${GOAL_MS}), ${rounds} rounds.`,
  [
    { title: 'peer', cell: ({ name }) => name },
    { title: 'ms', cell: ({ ms }) => ranged(ms, 0) },
  ],
  rows,
);
writeSection('start', { rounds, goalMs: GOAL_MS, rows });
process.exit(0);

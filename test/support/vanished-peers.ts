/**
 * Run by test/faults/vanished.test.ts as a process of its own, in a network namespace of its own (`unshare --net`): lets
 * peers vanish without a word, by a route that swallows what is sent to their address, and prints a JSON line for each.
 */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { until } from './conditions.ts';
import { startGateway } from './gateway.ts';
import { facts, poolKeys, signingKeys, token } from './managed.ts';
import { CHAT, RawClient } from './raw-client.ts';
import { startUpstream, type Turn } from './scripted-upstream.ts';

const UPSTREAM = '127.0.0.2';
const CLIENT = '127.0.0.3';
const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"}}]}\n\n';
const UPLOAD_BYTES = 16 * 1_048_576;

const ip = (...args: readonly string[]): void => {
  const { status, stderr } = spawnSync('ip', [...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
};
const swallow = (address: string): void =>
  ip('route', 'add', 'blackhole', `${address}/32`, 'table', 'local');
const deliver = (address: string): void =>
  ip('route', 'del', 'blackhole', `${address}/32`, 'table', 'local');

ip('link', 'set', 'lo', 'up');
const upstream = await startUpstream(act, { host: UPSTREAM });
const gateway = await startGateway({
  config:
    'workers = 1\naccess_log = true\nfirst_byte_timeout_secs = 1\nidle_timeout_secs = 1\nclient_stall_timeout_secs = 1\n' +
    `[provider_authorities]\nopenai = "http://${UPSTREAM}:${upstream.port}"\n` +
    `${poolKeys({ openai: 'sk-pool-vanished' })}${signingKeys()}`,
});

async function act(turn: Turn): Promise<void> {
  const [, how] = turn.request.target.split('?');
  if (how === 'unread') turn.socket.pause();
  if (how === 'events') {
    await turn.stream();
    await turn.chunk(EVENT);
  }
  if (how === 'flood') {
    await turn.stream();
    while (!turn.socket.destroyed) await turn.chunk(EVENT.repeat(1_000));
  }
}

const requestOf = (how: string, bytes: number): string =>
  `POST /openai${CHAT}?${how} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${token()}\r\nContent-Length: ${bytes}\r\n\r\n`;

let counted = 0;

/** Settled: what the access line and the facts say of the last exchange, and what is still open. */
async function told(peer: string, phase: string, seen: object): Promise<void> {
  const metrics = await gateway.idle();
  await until('its line', () => gateway.access().length === metrics.get('ai_requests_total'));
  await until('its fact', () => facts(gateway).length === metrics.get('ai_requests_total'));
  const { outcome, status } = gateway.access().at(-1) ?? {};
  const { usage_source } = facts(gateway).at(-1) ?? {};
  const lines = gateway.access().length - counted;
  counted += lines;
  process.stdout.write(
    `${JSON.stringify({ peer, phase, outcome, status, usage_source, lines, ...seen })}\n`,
  );
}

const PHASES = { silent: 2, events: 2, unread: UPLOAD_BYTES } as const;
for (const [how, bytes] of Object.entries(PHASES)) {
  const count = upstream.requests.length;
  const client = new RawClient(gateway.port).send(requestOf(how, bytes));
  if (bytes === 2) client.send('{}');
  else client.send(Buffer.alloc(1_024));
  await upstream.request(count);
  if (how === 'events') await until('the event', () => client.receivedBytes > 0);
  swallow(UPSTREAM);
  if (bytes > 2) client.send(Buffer.alloc(bytes - 1_024));
  const response = await client.response();
  client.close();
  await told('provider', how, { clientStatus: response.status, complete: response.complete });
  deliver(UPSTREAM);
}

const count = upstream.requests.length;
const socket = connect({ port: gateway.port, host: '127.0.0.1', localAddress: CLIENT });
socket.on('error', () => {});
socket.write(`${requestOf('flood', 2)}{}`);
await once(socket, 'data');
swallow(CLIENT);
await until('the provider to be let go', () => upstream.requests[count]?.peerClosed === true);
await told('client', 'flood', {});
process.exit(0);

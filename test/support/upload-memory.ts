/**
 * Run by test/long/memory.test.ts as a process of its own: uploads 1 GiB to a slow upstream, sized and chunked, and
 * prints one JSON line each with the peak of the gateway's memory above idle.
 */

import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { patternBlock } from '../../src/mock/pattern.ts';
import { authorities, startGateway } from './gateway.ts';
import { head } from './raw-client.ts';
import { startUpstream } from './scripted-upstream.ts';

const MIB = 1_048_576;
const TOTAL_BYTES = 1_024 * MIB;
const WARM_BYTES = 64 * MIB;
const BLOCK = patternBlock(MIB);

const upstream = await startUpstream(
  async (turn) => {
    await turn.bodyDone();
    await turn.answer('ok');
  },
  { readBytesPerSecond: 64 * MIB },
);
const gateway = await startGateway({
  config: `workers = 1\nmax_request_body_bytes = 0\n${authorities({ openai: upstream.port })}`,
});

async function upload(bytes: number, chunked: boolean): Promise<void> {
  const socket = connect(gateway.port, '127.0.0.1');
  const answered = new Promise((resolve) => socket.once('data', resolve));
  socket.write(
    head('POST', '/v1/x', [chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`]),
  );
  for (let sent = 0; sent < bytes; sent += BLOCK.length) {
    if (chunked) socket.write(`${BLOCK.length.toString(16)}\r\n`);
    socket.write(BLOCK);
    if (chunked) socket.write('\r\n');
    if (socket.writableLength > MIB) await new Promise((resolve) => socket.once('drain', resolve));
  }
  if (chunked) socket.write('0\r\n\r\n');
  await answered;
  socket.destroy();
}

const whole = createHash('sha256');
for (let sent = 0; sent < TOTAL_BYTES; sent += BLOCK.length) whole.update(BLOCK);
const sha256 = whole.digest('hex');

// Idle means warmed up: the first megabytes compile and size everything.
for (const chunked of [false, true]) await upload(WARM_BYTES, chunked);
for (const chunked of [false, true]) {
  const idle = gateway.rssBytes();
  let peakBytes = 0;
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, gateway.rssBytes() - idle);
  }, 50);
  await upload(TOTAL_BYTES, chunked);
  clearInterval(watch);
  const intact = upstream.requests.at(-1)?.sha256 === sha256;
  process.stdout.write(`${JSON.stringify({ chunked, peakBytes, intact })}\n`);
}
await gateway.stop();
await upstream.close();
process.exit();

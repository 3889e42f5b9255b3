import { createHash } from 'node:crypto';
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkOf } from '../support/chunked.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { factOf, poolKeys, signingKeys, token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

// Codex packs with zstd, others with gzip: with a virtual key their requests are unpacked while they stream.

const MIB = 1_048_576;
const LIMIT_BYTES = 8 * MIB;
const TOKEN = token();
const CHAT = '/v1/chat/completions';

const PACKERS: Readonly<Record<string, readonly [coding: string, pack: (body: Buffer) => Buffer]>> =
  {
    gzip: ['gzip', (body) => gzipSync(body)],
    deflate: ['deflate', (body) => deflateSync(body)],
    'bare deflate': ['Deflate', (body) => deflateRawSync(body)],
    br: [
      'br',
      (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
    ],
    zstd: ['zstd', (body) => zstdCompressSync(body)],
  };

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(
    async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":4}}');
    },
    { readBytesPerSecond: 0 },
  );
  gateway = await startGateway({
    config:
      `workers = 1\nmax_request_body_bytes = ${LIMIT_BYTES}\n${authorities({ openai: upstream.port })}` +
      poolKeys({ openai: 'sk-pool-openai' }) +
      signingKeys(),
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

const head = (coding: string, framing: string, key = TOKEN): string =>
  `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Encoding: ${coding}\r\n${framing}\r\n\r\n`;

async function sized(coding: string, packed: Buffer, key = TOKEN): Promise<RawResponse> {
  const client = new RawClient(gateway.port);
  client.send(
    Buffer.concat([Buffer.from(head(coding, `Content-Length: ${packed.length}`, key)), packed]),
  );
  const response = await client.response();
  client.close();
  return response;
}

async function inChunks(coding: string, packed: Buffer, bytes: number): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(head(coding, 'Transfer-Encoding: chunked'));
  for (let at = 0; at < packed.length; at += bytes)
    client.send(chunkOf(packed.subarray(at, at + bytes)));
  client.send('0\r\n\r\n');
  const response = await client.response();
  client.close();
  return response;
}

const sha256 = (body: Buffer): string => createHash('sha256').update(body).digest('hex');
/** Neither all alike nor random: a conversation shrinks to a fifth or so. */
function conversation(bytes: number): Buffer {
  let text = '{"model":"asked","messages":[{"role":"user","content":"';
  for (let n = 1; text.length < bytes; n++) text += `${(n * 2_654_435_761) % 4_294_967_296} words `;
  return Buffer.from(`${text}"}]}`);
}

describe.each(Object.entries(PACKERS))('a request in %s', (_name, [coding, pack]) => {
  it('arrives unpacked, with the length of what it is, and is metered', async () => {
    const body = Buffer.from('{"model":"asked","messages":[]}');
    const response = await sized(coding, pack(body));
    expect(response.status).toBe(200);
    const request = upstream.requests.at(-1);
    expect(request?.sha256).toBe(sha256(body));
    expect(request?.field('content-encoding')).toBeUndefined();
    expect(request?.field('content-length')).toBe(String(body.length));
    const fact = await factOf(gateway, response.field('x-sluice-request-id'));
    expect(fact).toMatchObject({
      requested_model: 'asked',
      usage_source: 'reported',
      output_tokens: 4,
    });
  });

  it('of megabytes arrives byte for byte, however it was cut', async () => {
    const body = conversation(3 * MIB);
    for (const bytes of [777, 65_536]) {
      expect((await inChunks(coding, pack(body), bytes)).status).toBe(200);
      expect(upstream.requests.at(-1)?.sha256).toBe(sha256(body));
    }
    expect((await sized(coding, pack(body))).status).toBe(200);
    expect(upstream.requests.at(-1)?.sha256).toBe(sha256(body));
  });

  it('that is cut short, broken, or followed by more is 400', async () => {
    const packed = pack(conversation(4_000));
    const broken = Buffer.from(packed);
    broken.fill(0xff, packed.length >> 1, (packed.length >> 1) + 40);
    const before = (await gateway.idle()).sum('ai_usage_facts_total');
    for (const wrong of [
      packed.subarray(0, -1),
      packed.subarray(0, packed.length >> 1),
      packed.subarray(0, 3),
      Buffer.concat([packed, Buffer.from('more')]),
      Buffer.from('{"model":"not packed"}'),
      // Without a checksum of its own, a format cannot tell.
      ...(coding === 'gzip' || coding === 'deflate' ? [broken] : []),
    ]) {
      const response = await sized(coding, wrong);
      expect(response.status).toBe(400);
      expect(response.json()).toMatchObject({ error: { code: 'bad_request' } });
    }
    expect((await gateway.idle()).sum('ai_usage_facts_total')).toBe(before);
  });

  it('that unpacks to more than the limit is 413, whatever it weighs', async () => {
    const memory = new MemoryWatch(gateway);
    // Grows less than a bomb, but beyond the limit.
    expect((await sized(coding, pack(conversation(LIMIT_BYTES + MIB)))).status).toBe(413);
    expect((await sized(coding, pack(Buffer.alloc(16 * MIB, '{"a":')))).status).toBe(413);
    expect((await inChunks(coding, pack(Buffer.alloc(16 * MIB)), 500)).status).toBe(413);
    expect(memory.stop()).toBeLessThan(64 * MIB);
    await upstream.noneBusy();
  });

  it('of an own key goes as it came', async () => {
    const packed = pack(Buffer.from('{"model":"asked"}'));
    expect((await sized(coding, packed, 'sk-own')).status).toBe(200);
    const request = upstream.requests.at(-1);
    expect([request?.sha256, request?.field('content-encoding')]).toEqual([sha256(packed), coding]);
  });
});

describe('a request in zstd', () => {
  const skippable = (bytes: number): Buffer => {
    const head = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    head.writeUInt32LE(bytes, 4);
    return Buffer.concat([head, Buffer.alloc(bytes, 7)]);
  };
  const body = conversation(300_000);
  const thirds = [body.subarray(0, 99), body.subarray(99, 150_000), body.subarray(150_000)];
  const frames = thirds.map((third) => zstdCompressSync(third));

  it.each([
    ['of several frames', frames],
    ['behind a skippable frame', [skippable(40), ...frames.slice(0, 1), ...frames.slice(1)]],
    [
      'between skippable frames',
      frames.flatMap((frame) => [skippable(0), frame, skippable(70_000)]),
    ],
    ['of empty frames and full ones', [zstdCompressSync(''), ...frames, zstdCompressSync('')]],
  ])('%s arrives unpacked, however it is cut', async (_what, parts) => {
    const packed = Buffer.concat(parts);
    expect((await sized('zstd', packed)).status).toBe(200);
    expect(upstream.requests.at(-1)?.sha256).toBe(sha256(body));
    for (const bytes of [61, 4_096]) {
      expect((await inChunks('zstd', packed, bytes)).status).toBe(200);
      expect(upstream.requests.at(-1)?.sha256).toBe(sha256(body));
    }
  });

  it.each([
    ['cut in its last frame', Buffer.concat(frames).subarray(0, -1)],
    ['cut in a skippable frame', Buffer.concat([...frames, skippable(40).subarray(0, -1)])],
    ['cut in a magic number', Buffer.concat([...frames, skippable(4).subarray(0, 3)])],
    ['with something else behind a frame', Buffer.concat([...frames, Buffer.from('more')])],
    ['of more frames than anybody writes', Buffer.alloc(8 * 5_000, skippable(0))],
  ])('%s is 400', async (_what, packed) => {
    const response = await sized('zstd', packed);
    expect(response.status).toBe(400);
    expect(response.json()).toMatchObject({ error: { code: 'bad_request' } });
  });

  it('whose frames are bombs together is 413', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(3 * MIB));
    expect((await sized('zstd', Buffer.concat(Array(6).fill(bomb)))).status).toBe(413);
    await upstream.noneBusy();
  });
});

it('a provider that reads slowly holds the unpacking back, and that the client', async () => {
  const slow = await startUpstream(
    async (turn) => {
      await turn.bodyDone();
      await turn.answer('{}');
    },
    { readBytesPerSecond: 4 * MIB },
  );
  const behind = await startGateway({
    config:
      `workers = 1\n${authorities({ openai: slow.port })}${poolKeys({ openai: 'sk-pool-openai' })}` +
      signingKeys(),
  });
  const body = conversation(24 * MIB);
  const packed = gzipSync(body, { level: 1 });
  const memory = new MemoryWatch(behind);
  const clients = [1, 2, 3].map(() => new RawClient(behind.port));
  for (const client of clients)
    client.send(
      Buffer.concat([Buffer.from(head('gzip', `Content-Length: ${packed.length}`)), packed]),
    );
  for (const client of clients) expect((await client.response()).status).toBe(200);
  expect(memory.stop()).toBeLessThan(40 * MIB);
  for (const request of slow.requests) expect(request.sha256).toBe(sha256(body));
  for (const client of clients) client.close();
  await behind.stop();
  await slow.close();
});

it('a client that leaves in the middle frees its upstream work', async () => {
  const packed = gzipSync(conversation(3 * MIB));
  const client = new RawClient(gateway.port).send(head('gzip', `Content-Length: ${packed.length}`));
  const before = upstream.requests.length;
  client.send(packed.subarray(0, packed.length - 10));
  await upstream.request(before);
  client.close();
  await upstream.noneBusy();
  await gateway.idle();
  expect(gateway.stderr).toBe('');
});

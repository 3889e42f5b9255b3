import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawClientOptions } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';
import { selfSigned } from '../support/tls.ts';

// The table of platform facts B, where every naive pattern damaged some response: here none may.

const BODY = randomBytes(20 * 1_048_576);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const WHOLE = sha256(BODY);
const certificate = selfSigned(['localhost', '127.0.0.1']);

/** `/v1/FORM/BYTES`: that many bytes in random chunks. */
async function answer(turn: Turn): Promise<void> {
  const [, , form = '', bytes = '0'] = turn.request.target.split('/');
  const body = BODY.subarray(0, Number(bytes));
  const sized = form === 'sized';
  if (sized) await turn.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
  else await turn.stream(['content-type: application/octet-stream']);
  for (let at = 0; at < body.length && !turn.socket.destroyed; ) {
    const slice = body.subarray(at, at + 1 + Math.floor(Math.random() * 120_000));
    at += slice.length;
    await (sized ? turn.write(slice) : turn.chunk(slice));
  }
  if (!sized) await turn.lastChunk();
}

const stutter: RawClientOptions = {
  onData: (socket) => {
    if (Math.random() > 0.08) return;
    socket.pause();
    setTimeout(() => socket.resume(), Math.random() * 25);
  },
};

let upstream: ScriptedUpstream;
const gateways: Gateway[] = [];
let plain: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(answer);
  plain = await start('');
});
afterAll(async () => {
  for (const gateway of gateways) {
    expect(gateway.stderr).toBe('');
    await gateway.stop();
  }
  await upstream.close();
});

async function start(extra: string): Promise<Gateway> {
  const gateway = await startGateway({
    config: `workers = 1\n${extra}${authorities({ openai: upstream.port })}`,
  });
  gateways.push(gateway);
  return gateway;
}

async function read(gateway: Gateway, target: string, options: RawClientOptions) {
  const client = new RawClient(gateway.port, options).send(head('GET', target));
  const { complete, sha256: hash } = await client.response();
  client.close();
  return { complete, hash };
}

async function runs(gateway: Gateway, count: number, form: string, options: RawClientOptions) {
  for (let run = 0; run < count; run += 4) {
    const four = [0, 1, 2, 3].map(() => read(gateway, `/v1/${form}/${BODY.length}`, options));
    for (const result of await Promise.all(four))
      expect(result).toEqual({ complete: true, hash: WHOLE });
  }
}

describe.each(['chunked', 'sized'])('20 MiB, %s, to a stuttering reader', (form) => {
  it('arrives whole 100 times', async () => await runs(plain, 100, form, stutter));

  it('arrives whole 16 times over TLS', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    writeFileSync(certFile, certificate.cert);
    writeFileSync(keyFile, certificate.key);
    const gateway = await start(`tls_cert_file = "${certFile}"\ntls_key_file = "${keyFile}"\n`);
    await runs(gateway, 16, form, { ...stutter, tls: { ca: certificate.cert } });
  });
});

// Mostly pauses: they run side by side.
describe.concurrent('slowly', () => {
  it('readers at 64 KB/s get 4 MB whole, sized and chunked, with the end', async () => {
    const sizes = [3_800_000, 4_000_000, 4_200_000];
    const results = await Promise.all(
      ['chunked', 'sized'].flatMap((form) =>
        sizes.map(async (bytes) => {
          const result = await read(plain, `/v1/${form}/${bytes}`, { readBytesPerSecond: 64_000 });
          return { result, want: { complete: true, hash: sha256(BODY.subarray(0, bytes)) } };
        }),
      ),
    );
    for (const { result, want } of results) expect(result).toEqual(want);
  });

  it('a gap of 30 s in a stream and a first byte after 30 s survive', async () => {
    const slow = await startUpstream(async (turn) => {
      const late = turn.request.target === '/v1/late';
      if (late) await pause(30_000);
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      if (!late) await pause(30_000);
      await turn.chunk('data: 2\n\n');
      await turn.lastChunk();
    });
    const gateway = await startGateway({ config: authorities({ openai: slow.port }) });
    gateways.push(gateway);
    const responses = await Promise.all(
      ['/v1/late', '/v1/gap'].map(async (target) => {
        const client = new RawClient(gateway.port).send(head('GET', target));
        const response = await client.response();
        client.close();
        return response;
      }),
    );
    for (const response of responses) {
      expect(response.complete).toBe(true);
      expect(response.body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    }
    await slow.close();
  });

  it('an upload of 1 KB/s over 15 s survives', async () => {
    const slow = await startUpstream(async (turn) => {
      await turn.bodyDone();
      await turn.answer('ok');
    });
    const gateway = await startGateway({ config: authorities({ openai: slow.port }) });
    gateways.push(gateway);
    const client = new RawClient(gateway.port).send(
      head('POST', '/v1/x', ['Content-Length: 15000']),
    );
    for (let sent = 0; sent < 15_000; sent += 500) {
      client.send(Buffer.alloc(500, 'x'));
      await pause(500);
    }
    expect((await client.response()).status).toBe(200);
    expect(slow.requests[0]?.bodyBytes).toBe(15_000);
    client.close();
    await slow.close();
  });
});

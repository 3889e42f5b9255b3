import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from 'undici';
import { describe, expect, it } from 'vitest';
import { classify } from '../../../src/upstream/failure.ts';
import { Upload } from '../../../src/upstream/upload.ts';

/** What undici 8.12.4 asks of a body: if a newer one asks for more, this hangs or fails. */
describe('an upload as undici reads it', () => {
  async function send(fields: string[], feed: (upload: Upload) => void) {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () =>
        response.end(
          JSON.stringify([request.headers['content-length'] ?? null, Buffer.concat(chunks).length]),
        ),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const upload = new Upload({ onUploadDrained() {} });
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      client.dispatch(
        { method: 'POST', path: '/', headers: fields, body: upload as unknown as Buffer },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData(_controller, chunk) {
            text += chunk.toString();
          },
          onResponseEnd: () => resolve(text),
          onResponseError: (_controller, error) => reject(error),
        },
      );
      feed(upload);
    }).finally(async () => {
      await client.destroy();
      server.close();
    });
    return JSON.parse(answer);
  }

  it('arrives with its declared length, or in chunks', async () => {
    const feed = (upload: Upload): void => {
      upload.push(Buffer.alloc(100_000));
      setImmediate(() => {
        upload.push(Buffer.alloc(23));
        upload.end();
      });
    };
    expect(await send(['content-length', '100023'], feed)).toEqual(['100023', 100_023]);
    expect(await send([], feed)).toEqual([null, 100_023]);
  });

  it('that is destroyed fails the request and takes no more', async () => {
    await expect(
      send([], (upload) => {
        upload.push(Buffer.alloc(10));
        setTimeout(() => upload.destroy(new Error('gone')), 20);
      }),
    ).rejects.toThrow('gone');
  });

  it('that ends at once leaves no listener on the socket', async () => {
    // Cause: undici 8.12.4 adds listeners to the socket behind its first resume(). Trigger: a body that ended within
    // that call. Fix: the first flow is a tick later.
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warn);
    const server = createServer((request, response) =>
      request.resume().on('end', () => response.end('ok')),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (let i = 0; i < 15; i++) {
      const upload = new Upload({ onUploadDrained() {} });
      upload.push(Buffer.from('x'));
      upload.end();
      await new Promise<void>((resolve, reject) => {
        client.dispatch(
          { method: 'POST', path: '/', body: upload as unknown as Buffer },
          {
            onRequestStart() {},
            onResponseStart() {},
            onResponseData() {},
            onResponseEnd: () => resolve(),
            onResponseError: (_controller, error) => reject(error),
          },
        );
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warn);
    await client.destroy();
    server.close();
    expect(warnings).toEqual([]);
  });

  it('asks for a pause until it is read, and says when it is drained', async () => {
    let drained = 0;
    const upload = new Upload({ onUploadDrained: () => drained++ });
    const seen: number[] = [];
    upload.on('data', (chunk: Buffer) => {
      seen.push(chunk.length);
      if (seen.length === 1) upload.pause();
    });
    expect(upload.push(Buffer.alloc(1))).toBe(false);
    upload.push(Buffer.alloc(2));
    upload.resume();
    await new Promise((resolve) => process.nextTick(resolve));
    expect(seen).toEqual([1]);
    expect(drained).toBe(0);
    upload.resume();
    expect(seen).toEqual([1, 2]);
    expect(drained).toBe(1);
  });
});

describe('failures', () => {
  const coded = (code: string): Error => Object.assign(new Error(code), { code });
  it.each([
    ['ECONNREFUSED', false, 'upstream_unreachable'],
    ['ENOTFOUND', false, 'upstream_unreachable'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', false, 'upstream_unreachable'],
    ['UND_ERR_CONNECT_TIMEOUT', false, 'upstream_timeout'],
    ['UND_ERR_HEADERS_TIMEOUT', true, 'upstream_timeout'],
    ['UND_ERR_SOCKET', true, 'upstream_unreachable'],
    ['HPE_INVALID_CONSTANT', true, 'upstream_unreachable'],
    ['EMFILE', false, 'overloaded'],
    ['UND_ERR_INVALID_ARG', false, 'internal_error'],
  ])('%s maps to its row', (code, connected, row) => {
    expect(classify(coded(code), connected).rejection).toBe(row);
  });

  it('a bug of ours is not blamed on the provider, and all addresses failing is one failure', () => {
    expect(classify(new TypeError('x'), true).rejection).toBe('internal_error');
    expect(classify(new AggregateError([coded('ECONNREFUSED')]), false)).toMatchObject({
      kind: 'connect',
      code: 'ECONNREFUSED',
    });
  });
});

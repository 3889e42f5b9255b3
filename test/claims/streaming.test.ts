import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const EVENTS = 20;
const GAP_MS = 50;

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(() => {});
  gateway = await startGateway({
    config: `workers = 1\naccess_log = true\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

const has = (client: RawClient, text: string): boolean =>
  Buffer.concat(client.received).toString().includes(text);

/** An event that no other event of the stream is like. */
const eventOf = (at: number): string => `data: {"at":${at},"pad":"${'.'.repeat(at * 37)}"}\n\n`;

describe('what arrives is forwarded at once', () => {
  it.each([
    ['chunked', true],
    ['sized', false],
  ])('each event of a %s stream reaches the client before the next is sent', async (_form, chunked) => {
    const client = new RawClient(gateway.port);
    const all = Array.from({ length: EVENTS }, (_, at) => eventOf(at));
    upstream.script = async (turn) => {
      const length = Buffer.byteLength(all.join(''));
      const type = 'content-type: text/event-stream';
      if (chunked) await turn.stream([type]);
      else await turn.write(`HTTP/1.1 200 OK\r\n${type}\r\ncontent-length: ${length}\r\n\r\n`);
      for (const event of all) {
        await (chunked ? turn.chunk(event) : turn.write(event));
        // The next one depends on this one having arrived: nothing may wait for a later event.
        await until('the client to have this event', () => has(client, event));
        await pause(GAP_MS);
      }
      if (chunked) await turn.lastChunk();
    };
    client.send(head('GET', '/v1/stream'));
    const response = await client.response();
    client.close();
    expect(response.complete).toBe(true);
    expect(response.body.toString()).toBe(all.join(''));
  });

  it('half an event is forwarded before its other half is sent', async () => {
    const client = new RawClient(gateway.port);
    upstream.script = async (turn) => {
      await turn.stream();
      for (const part of ['data: {"a', '":1}', '\n', '\n']) {
        const before = client.receivedBytes;
        await turn.chunk(part);
        await until('the part to arrive', () => client.receivedBytes > before);
      }
      await turn.lastChunk();
    };
    client.send(head('GET', '/v1/stream'));
    expect((await client.response()).body.toString()).toBe('data: {"a":1}\n\n');
    client.close();
  });

  it('the head of a sized response is forwarded before its body is sent', async () => {
    const client = new RawClient(gateway.port);
    upstream.script = async (turn) => {
      await turn.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-first: yes\r\n\r\n');
      await until('the head to arrive', () => has(client, 'x-first: yes\r\n'));
      await turn.write('hello');
    };
    client.send(head('GET', '/v1/sized'));
    expect((await client.response()).body.toString()).toBe('hello');
    client.close();
  });

  it('each piece of an upload reaches the upstream before the next is sent', async () => {
    const client = new RawClient(gateway.port);
    upstream.script = async (turn) => {
      await turn.bodyDone();
      await turn.answer('{}');
    };
    const count = upstream.requests.length;
    client.send(head('POST', '/v1/files', ['Transfer-Encoding: chunked']));
    for (let at = 1; at <= EVENTS; at++) {
      client.send('3\r\nabc\r\n');
      await until('the piece upstream', () => upstream.requests[count]?.bodyBytes === at * 3);
    }
    client.send('0\r\n\r\n');
    expect((await client.response()).status).toBe(200);
    client.close();
  });

  it('an answer that comes before the upload ends is forwarded at once', async () => {
    const client = new RawClient(gateway.port);
    upstream.script = (turn) => turn.answer('{"error":"too long"}');
    client.send(`${head('POST', '/v1/files', ['Content-Length: 1000000'])}the beginning`);
    const response = await client.response();
    client.close();
    expect(response).toMatchObject({ status: 200, complete: true });
    expect(response.json()).toEqual({ error: 'too long' });
    await gateway.idle();
  });

  it('a stream that begins before the upload ends flows beside it', async () => {
    const client = new RawClient(gateway.port);
    upstream.script = async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      await turn.bodyDone();
      await turn.chunk('data: 2\n\n');
      await turn.lastChunk();
    };
    client.send(`${head('POST', '/v1/duplex', ['Content-Length: 10'])}01234`);
    await until('the first event', () => has(client, 'data: 1\n\n'));
    client.send('56789');
    const response = await client.response();
    client.close();
    expect(response.body.toString()).toBe('data: 1\n\ndata: 2\n\n');
    expect(upstream.requests.at(-1)).toMatchObject({ bodyBytes: 10, bodyDone: true });
  });

  it('the time to the first byte is measured at the first byte', async () => {
    upstream.script = async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      await pause(300);
      await turn.lastChunk();
    };
    const client = new RawClient(gateway.port).send(head('GET', '/v1/timed'));
    await client.response();
    client.close();
    const line = await gateway.waitForLog(({ path }) => path === '/v1/timed');
    // The stream stays open for 300 ms behind its first byte, however slow the machine is.
    const behind = Number(line['duration_ms']) - Number(line['ttfb_ms']);
    expect(behind).toBeGreaterThanOrEqual(250);
  });
});

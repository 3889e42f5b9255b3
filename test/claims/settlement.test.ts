import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

let gateway: Gateway;
let upstream: ScriptedUpstream;
let sent = 0;

beforeAll(async () => {
  upstream = await startUpstream(act);
  gateway = await startGateway({
    config: `workers = 2\naccess_log = true\nidle_timeout_secs = 2\nfirst_byte_timeout_secs = 4\nmax_request_body_bytes = 1000\n${authorities({ openai: upstream.port, groq: 1 })}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

/** The last segment of the target says what to do. */
async function act(turn: Turn): Promise<void> {
  switch (turn.request.target.split('/').pop()) {
    case 'cut':
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      setTimeout(() => turn.reset(), 20);
      break;
    case 'stall':
      await turn.stream();
      await turn.chunk('data: 1\n\n');
      break;
    case 'reset':
      turn.reset();
      break;
    case 'silent':
      break;
    case 'early':
      await turn.answer('early');
      break;
    default:
      if (turn.request.method === 'GET') {
        await turn.answer(Buffer.alloc(Number(turn.request.target.split('/').pop())));
        break;
      }
      await turn.bodyDone();
      await turn.answer('ok');
  }
}

function open(target: string, fields: readonly string[] = []): RawClient {
  sent++;
  return new RawClient(gateway.port).send(head('POST', target, ['Content-Length: 2', ...fields]));
}

async function ask(target: string, fields: readonly string[] = []) {
  const client = open(target, fields).send('{}');
  const response = await client.response();
  client.close();
  return response;
}

describe('every exchange settles exactly once', () => {
  it('whatever its end, with one metrics update and one line', async () => {
    await Promise.all([
      ask('/v1/ok'),
      ask('/v1/cut'),
      ask('/v1/stall'),
      ask('/v1/reset'),
      ask('/v1/silent'),
      ask('/groq/refused'),
      ask('/nobody/x'),
      ask('/v1/ok', ['x-api-key: bai_v1.x']),
    ]);
    // An upload over the cap by its declared length, and by its running total.
    for (const fields of [['Content-Length: 5000'], ['Transfer-Encoding: chunked']]) {
      sent++;
      const client = new RawClient(gateway.port).send(head('POST', '/v1/ok', fields));
      client.send(`7d0\r\n${'x'.repeat(2_000)}\r\n`);
      expect((await client.response()).status).toBe(413);
      client.close();
    }
    // The client leaves before its body ended, while waiting for the head, and between two events.
    const unfinished = open('/v1/ok').send('{');
    const counted = async () => (await gateway.metrics()).get('ai_requests_total') === sent;
    await until('it to be read', counted);
    unfinished.close();
    const waiting = open('/v1/silent').send('{}');
    const isSilent = ({ target }: { readonly target: string }) => target === '/v1/silent';
    await until('it to arrive', () => upstream.requests.filter(isSilent).length === 2);
    waiting.close();
    const streaming = open('/v1/stall').send('{}');
    await until('the first event', () => streaming.receivedBytes > 0);
    streaming.close();
    // Answered before the upload ended.
    const early = open('/v1/early').send('{');
    expect((await early.response()).status).toBe(200);
    early.close();

    // The upstream died while the upload was coming.
    const dropped = open('/v1/reset').send('{');
    expect((await dropped.response()).status).toBe(502);
    dropped.close();

    const metrics = await gateway.idle();
    await until('a line for each', () => gateway.access().length >= sent);
    expect(metrics.get('ai_requests_total')).toBe(sent);
    expect(metrics.sum('ai_exchanges_settled_total')).toBe(sent);
    expect(metrics.get('ai_active_streams')).toBe(0);
    expect(gateway.access().length).toBe(sent);
    expect(new Set(gateway.access().map((line) => line['request_id'])).size).toBe(sent);

    const outcomes = new Map<unknown, number>();
    for (const line of gateway.access())
      outcomes.set(line['outcome'], (outcomes.get(line['outcome']) ?? 0) + 1);
    expect(Object.fromEntries(outcomes)).toEqual({
      complete: 2,
      upstream_cut: 1,
      timeout: 2,
      upstream_error: 3,
      rejected: 4,
      client_gone: 3,
    });
  });

  it('a sized answer settles wherever its last byte had to wait for the client', async () => {
    // Which size leaves exactly the last piece behind is the kernel's to say: one of these does.
    const sizes = Array.from({ length: 300 }, (_, at) => 2_000_000 + at * 10_000);
    // No limit of time: this process plays all thirty providers and clients at once.
    const patient = await startGateway({
      config: `workers = 2\n${authorities({ openai: upstream.port })}`,
    });
    await inLanes(
      sizes,
      30,
      () => {},
      async (size) => {
        const client = new RawClient(patient.port);
        client.socket.pause();
        client.send(head('GET', `/v1/${size}`));
        await pause(300);
        client.socket.resume();
        const response = await client.response();
        client.close();
        expect(response).toMatchObject({ status: 200, complete: true });
        expect(response.body.length).toBe(size);
      },
    );
    const metrics = await patient.idle();
    expect(metrics.sum('ai_exchanges_settled_total')).toBe(sizes.length);
    await upstream.noneBusy();
    await patient.stop();
  });

  it('a line says what an incident needs and never a query or a key', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const response = await ask('/v1/ok?key=sk-secret', [
      `traceparent: 00-${trace}-b7ad6b7169203331-01`,
    ]);
    const line = await gateway.waitForLog(
      (entry) => entry['request_id'] === response.field('x-sluice-request-id'),
    );
    expect(line).toMatchObject({
      event: 'access',
      trace_id: trace,
      method: 'POST',
      path: '/v1/ok',
      provider: 'openai',
      status: 200,
      bytes_in: 2,
      bytes_out: 2,
    });
    expect(JSON.stringify(gateway.logs)).not.toContain('sk-');
  });
});

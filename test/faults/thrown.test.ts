import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { InjectedFaults, type MethodName } from '../support/injected-fault.ts';
import { facts, token } from '../support/managed.ts';
import { CHAT, post, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type Siege, startSiege } from '../support/siege.ts';

const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"}}]}\n\n';
const REPORT =
  'data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n';
const DONE = 'data: [DONE]\n\n';
const STREAM = '{"model":"m","stream":true}';
const NEIGHBOURS = 5;
const MIB = 1_048_576;

/** What the one does whose exchange meets a bug. */
type Course = 'stream' | 'leave' | 'read slowly' | 'upload slowly';

/** Where a bug is put, and what its exchange does for it to be met. Each is an entry of its own, or right behind one. */
const CASES: readonly (readonly [MethodName, Course])[] = [
  // From the front end.
  ['admit/rate.ts#RateGuard.admitCredential', 'stream'],
  ['exchange/exchange.ts#Exchange.begin', 'stream'],
  ['edge/request-body.ts#ClientBody.take', 'stream'],
  ['exchange/exchange.ts#Exchange.onBodyChunk', 'stream'],
  ['meter/metering.ts#Metering.goOnWith', 'stream'],
  ['exchange/exchange.ts#Exchange.onResponseOver', 'stream'],
  ['exchange/exchange.ts#Exchange.onClientGone', 'leave'],
  ['edge/slow-client.ts#SlowClient.unblock', 'read slowly'],
  ['exchange/exchange.ts#Exchange.onWriterDrained', 'read slowly'],
  // From a ticker.
  ['edge/slow-client.ts#SlowClient.onTick', 'read slowly'],
  ['edge/request-body.ts#ClientBody.onTick', 'upload slowly'],
  // From the upstream.
  ['upstream/h1/call.ts#Http1Call.onConnected', 'stream'],
  ['upstream/h1/call.ts#Http1Call.onDrained', 'upload slowly'],
  ['exchange/exchange.ts#Exchange.uploadDrained', 'upload slowly'],
  ['wire/response-parser.ts#ResponseParser.push', 'stream'],
  ['exchange/attempt.ts#Attempt.onResponseHead', 'stream'],
  ['meter/metering.ts#Metering.responseBegan', 'stream'],
  ['edge/response-writer.ts#UwsResponseWriter.start', 'stream'],
  ['meter/metering.ts#Metering.response', 'stream'],
  ['edge/response-writer.ts#UwsResponseWriter.write', 'stream'],
  ['edge/response-writer.ts#UwsResponseWriter.writeCorked', 'stream'],
  ['meter/metering.ts#Metering.responseEnded', 'stream'],
  ['edge/response-writer.ts#UwsResponseWriter.end', 'stream'],
  // At its end.
  ['meter/metering.ts#Metering.finish', 'stream'],
];
/** Met when the client has all of it. */
const TOO_LATE: ReadonlySet<MethodName> = new Set([
  'exchange/exchange.ts#Exchange.onResponseOver',
  'meter/metering.ts#Metering.finish',
]);
/** Met before anything was sent to the provider. */
const BEFORE: ReadonlySet<MethodName> = new Set([
  'admit/rate.ts#RateGuard.admitCredential',
  'exchange/exchange.ts#Exchange.begin',
  'edge/request-body.ts#ClientBody.take',
  'exchange/exchange.ts#Exchange.onBodyChunk',
  'meter/metering.ts#Metering.goOnWith',
  'upstream/h1/call.ts#Http1Call.onConnected',
]);

describe('a bug that one exchange meets', () => {
  const faults = new InjectedFaults(CASES.map(([method]) => method));
  let siege: Siege;
  let neighbours: readonly RawClient[];
  let release = (): void => {};
  let fault: string;

  beforeAll(async () => {
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    siege = await startSiege(
      async (turn) => {
        const course = turn.request.target.split('?')[1] ?? '';
        if (course === 'upload%20slowly') {
          turn.socket.pause();
          const fromMs = performance.now();
          await until(
            'the bug, or that reading on brings it',
            () => !faults.isArmed || performance.now() - fromMs > 2_500,
          );
          turn.socket.resume();
        }
        await turn.bodyDone();
        await turn.stream();
        await turn.chunk(EVENT);
        // A neighbour's provider says nothing while others fail.
        if (course === 'neighbour') await released;
        if (course === 'leave') return;
        if (course === 'read%20slowly') await turn.chunk(Buffer.alloc(16 * MIB, ': x\n\n'));
        await turn.chunk(REPORT + DONE);
        await turn.lastChunk();
      },
      { nodeArgs: faults.nodeArgs },
    );
    const { gateway } = siege;
    neighbours = Array.from({ length: NEIGHBOURS }, () =>
      new RawClient(gateway.port).send(post(token(), `${CHAT}?neighbour`, STREAM)),
    );
    await until('the neighbours to stream', () =>
      neighbours.every(({ receivedBytes }) => receivedBytes > 0),
    );
  });

  afterAll(async () => {
    await siege.close();
  });

  /** @returns what its client got, null when it left or got nothing */
  async function run(course: Course): Promise<RawResponse | null> {
    const { gateway } = siege;
    const target = `${CHAT}?${encodeURIComponent(course)}`;
    const readBytesPerSecond = course === 'read slowly' ? 4 * MIB : 0;
    const client = new RawClient(gateway.port, { readBytesPerSecond });
    const filler = course === 'upload slowly' ? 12 * MIB : 0;
    const body = `{"model":"m","stream":true,"x":"${'x'.repeat(filler)}"}`;
    client.send(post(token({ tenantId: 1n }), target, body));
    if (course === 'leave') {
      await until('the first event', () => client.receivedBytes > 0);
      client.close();
      return null;
    }
    const response = await client.response().catch(() => null);
    client.close();
    return response;
  }

  it.each(CASES)('ends that one, once, and no neighbour: %s', async (method, course) => {
    const { gateway } = siege;
    const before = { errors: gateway.count('internal_error'), accesses: gateway.count('access') };
    const factsBefore = facts(gateway).length;
    faults.arm(method);
    const response = await run(course);
    await until('the bug to be met', () => !faults.isArmed);
    fault = method;
    const metrics = await until('its end', async () => {
      const page = await gateway.metrics();
      return page.get('ai_requests_in_flight') === NEIGHBOURS && page;
    });
    const [line] = await until('its line', () => {
      const lines = gateway.events('access').slice(before.accesses);
      return lines.length > 0 && lines;
    });
    const whole = response?.status === 200 && response.complete;
    expect(whole).toBe(TOO_LATE.has(method));
    if (!TOO_LATE.has(method) && response !== null && response.status !== 200) {
      expect(response.status).toBe(500);
      expect(response.json()).toMatchObject({ error: { code: 'internal_error' } });
    }
    const outcome = method.endsWith('.finish') ? 'complete' : 'gateway_error';
    expect(line).toMatchObject({ outcome });
    expect(gateway.events('internal_error').slice(before.errors)).toMatchObject([
      { reason: expect.stringContaining(`injected into ${method}`) },
    ]);
    // What reached the provider has its one fact.
    const told = BEFORE.has(method) ? 0 : 1;
    await until('the fact', () => facts(gateway).length >= factsBefore + told);
    expect(facts(gateway).length).toBe(factsBefore + told);
    if (told === 1) expect(facts(gateway).at(-1)).toMatchObject({ outcome, tenant_id: '1' });
    expect(metrics.get('ai_active_streams')).toBe(NEIGHBOURS);
    expect(metrics.get('ai_worker_restarts_total')).toBe(0);
    expect(neighbours.filter(({ closed }) => closed)).toEqual([]);
  });

  it('leaves its neighbours whole to the last byte', async () => {
    const { gateway } = siege;
    expect(fault).toBe(CASES.at(-1)?.[0]);
    release();
    for (const neighbour of neighbours) {
      const response = await neighbour.response();
      expect([response.status, response.complete]).toEqual([200, true]);
      expect(response.body.toString()).toBe(EVENT + DONE);
    }
    const metrics = await gateway.idle();
    expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
    const theirs = await until('their facts', () => {
      const all = facts(gateway).filter((fact) => fact['tenant_id'] === '42');
      return all.length >= NEIGHBOURS && all;
    });
    expect(theirs).toHaveLength(NEIGHBOURS);
    for (const fact of theirs)
      expect(fact).toMatchObject({ outcome: 'complete', usage_source: 'reported' });
    expect(gateway.stderr).toBe('');
  });
});

import { expect } from 'vitest';
import { pause, until } from './conditions.ts';
import type { Gateway } from './gateway.ts';
import { facts, token } from './managed.ts';
import { CHAT, post, RawClient, type RawResponse } from './raw-client.ts';
import type { Script } from './scripted-upstream.ts';

/** The provider that a gateway needs for a neighbour, with `neighbourly` as its script and with a pool key. */
export const NEIGHBOUR_PROVIDER = 'neighbour';

const EVENT_GAP_MS = 10;
const REQUEST_GAP_MS = 5;
const TENANT = 7_777n;
const REPORT =
  'data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n';
const DONE = 'data: [DONE]\n\n';
const ANSWER = '{"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}';
const event = (n: number): string => `data: {"choices":[{"delta":{"content":"${n}"}}]}\n\n`;

/** Streams numbered events until it is told to end: one for each neighbour. */
const ending = new Set<string>();

/** What the neighbour's provider does. */
export const neighbourly: Script = async (turn) => {
  await turn.bodyDone();
  const [, name = ''] = turn.request.target.split('?');
  if (name === '') {
    await turn.answer(ANSWER);
    return;
  }
  await turn.stream();
  let count = 0;
  for (; !ending.has(name) && !turn.socket.destroyed; count++) {
    await turn.chunk(event(count));
    await pause(EVENT_GAP_MS);
  }
  counts.set(name, count);
  await turn.chunk(REPORT + DONE);
  await turn.lastChunk();
};
const counts = new Map<string, number>();
let names = 0;

/** Somebody else's metered stream and requests, which run beside an attack and must not notice it. */
export class Neighbour {
  readonly #gateway: Gateway;
  readonly #name = `n${names++}`;
  readonly #stream: RawClient;
  readonly #requests: Promise<number>;
  #stopping = false;

  constructor(gateway: Gateway) {
    const target = `/${NEIGHBOUR_PROVIDER}${CHAT}`;
    this.#gateway = gateway;
    const body = '{"model":"m","stream":true}';
    this.#stream = new RawClient(gateway.port).send(
      post(token({ tenantId: TENANT }), `${target}?${this.#name}`, body),
    );
    this.#requests = this.#ask(post(token({ tenantId: TENANT }), target, '{"model":"m"}'));
    // Who awaits it comes later; a failure until then is no unhandled one.
    this.#requests.catch(() => {});
  }

  async #ask(request: Buffer): Promise<number> {
    const client = new RawClient(this.#gateway.port);
    let count = 0;
    for (; !this.#stopping; count++) {
      const response = await client.send(request).response();
      expect([response.status, response.body.toString()]).toEqual([200, ANSWER]);
      await pause(REQUEST_GAP_MS);
    }
    client.close();
    return count;
  }

  /** A request of the neighbour's goes through: whatever the gateway had to read before it has been read. */
  async served(): Promise<void> {
    const request = post(token({ tenantId: TENANT }), `/${NEIGHBOUR_PROVIDER}${CHAT}`, '{}');
    const client = new RawClient(this.#gateway.port).send(request);
    expect((await client.response()).status).toBe(200);
    client.close();
  }

  /**
   * What becomes of a request that may never be answered: its response, or null once everything was read and the
   * connection is closed. The front end itself would take 12 s to give up on half a request.
   */
  async outlasts(client: RawClient): Promise<RawResponse | null> {
    const response = client.response().catch(() => null);
    const given = async (): Promise<null> => {
      await this.served();
      await this.served();
      client.socket.end();
      await until('the connection to close', () => client.closed);
      return null;
    };
    const first = await Promise.race([response, given()]);
    client.close();
    return first;
  }

  /** Ends it in whatever state it is. */
  leave(): void {
    this.#stopping = true;
    ending.add(this.#name);
    this.#stream.close();
  }

  /** Ends it: the stream is whole to the byte, every request was answered, and each has its one fact. */
  async expectWhole(): Promise<void> {
    await until('the stream', () => this.#stream.receivedBytes > 0);
    ending.add(this.#name);
    this.#stopping = true;
    const response = await this.#stream.response();
    const count = counts.get(this.#name) ?? 0;
    const whole = Array.from({ length: count }, (_, n) => event(n)).join('') + DONE;
    expect([response.status, response.complete]).toEqual([200, true]);
    expect(response.body.toString()).toBe(whole);
    expect(await this.#requests).toBeGreaterThan(0);
    this.#stream.close();
    const id = response.field('x-sluice-request-id');
    const told = await until('the fact', () => {
      const mine = facts(this.#gateway).filter((fact) => fact['request_id'] === id);
      return mine.length > 0 && mine;
    });
    expect(told).toMatchObject([{ usage_source: 'reported', outcome: 'complete' }]);
  }
}

/**
 * Runs `work` beside a neighbour, who must be whole at its end.
 * @param gateway with the provider `neighbour`
 */
export async function besideNeighbour(
  gateway: Gateway,
  work: (neighbour: Neighbour) => Promise<void>,
): Promise<void> {
  const neighbour = new Neighbour(gateway);
  try {
    await neighbour.served();
    await work(neighbour);
    await neighbour.expectWhole();
  } finally {
    neighbour.leave();
  }
}

import { type Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { pause } from '../../test/support/conditions.ts';
import { seededRandom } from '../../test/support/fixtures.ts';
import { type Answer, type Fault, faultsOf } from './answer-check.ts';
import { expectedOfMock, expectedOfStream } from './expected-answer.ts';
import type { MockOrder, RefusedOrder, StreamOrder } from './order.ts';

export interface Ended {
  readonly status: number;
  readonly complete: boolean;
  readonly requestId: string | null;
  readonly left: boolean;
  readonly faults: readonly Fault[];
}

/** Of a hang, which is a fault: the longest stream takes 20 s, and an upstream that is away a few more. */
const HANG_MS = 90_000;
/** Share of reads behind which a slow reader rests. */
const RESTS = 0.2;
/** Longest rest of a slow reader. Node reads 64 KiB at a time, so that few rests make a long answer. */
const REST_MS = 300;

/** Sends an order and checks each byte of its answer. Resolves when it is over for the client, whichever way. */
export async function exchange(
  port: number,
  order: MockOrder | StreamOrder,
  key: string,
  agent: Agent | false,
): Promise<Ended> {
  const anthropic = order.kind === 'mock' && order.vendor === 'anthropic';
  const target =
    order.kind === 'mock' ? order.target : `/long/streams/${order.number}/chat/completions`;
  const raw = Buffer.from(JSON.stringify(order.body));
  const sent = request({
    agent,
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: target,
    headers: {
      ...(anthropic ? { 'x-api-key': key } : { authorization: `Bearer ${key}` }),
      'content-type': 'application/json',
      ...(order.chunked ? {} : { 'content-length': raw.length }),
    },
  });
  const answered = answerOf(sent, order.slowReader ? order.number : null, leavingOf(order));
  void upload(sent, raw, order.chunked);
  const { answer, hung, left } = await answered;
  const expected = order.kind === 'mock' ? expectedOfMock(order) : expectedOfStream(order);
  const { status, complete, requestId } = answer;
  const faults: readonly Fault[] = hung
    ? [{ kind: 'hung', what: `no end within ${HANG_MS} ms` }]
    : faultsOf(answer, expected, left);
  return { status, complete, requestId, left, faults };
}

/** When a client goes away by itself: after some time, or with so much of the answer, whichever is first. */
interface Leaving {
  readonly afterMs: number | null;
  readonly atBytes: number | null;
}

const STAYS: Leaving = { afterMs: null, atBytes: null };

function leavingOf(order: MockOrder | StreamOrder): Leaving {
  if (order.kind === 'mock') {
    const { leaveMs } = order;
    if (leaveMs === null) return STAYS;
    return leaveMs === 0 ? { afterMs: null, atBytes: 1 } : { afterMs: leaveMs, atBytes: null };
  }
  const { fate, events, leaveAt } = order.plan;
  if (fate !== 'client-leaves') return STAYS;
  return { afterMs: null, atBytes: 1 + events.slice(0, leaveAt).join('').length };
}

/** Sends what the gateway itself refuses, and checks how. */
export async function refused(
  port: number,
  { refusal }: RefusedOrder,
  agent: Agent | false,
): Promise<Ended> {
  const { method, target, fields, status: due, code } = refusal;
  const host = '127.0.0.1';
  const sent = request({ agent, port, host, method, path: target, headers: fields });
  const answered = answerOf(sent, null, STAYS);
  // A declared length alone is refused; the body is never sent.
  if (fields['content-length'] === undefined) sent.end(method === 'POST' ? '{}' : undefined);
  else sent.flushHeaders();
  const { answer } = await answered;
  sent.destroy();
  const { status, complete, requestId, text } = answer;
  const isRight = status === due && text.includes(`"code":"${code}"`);
  const what = `${status} ${text.slice(0, 120)} where ${due} ${code} belongs`;
  const faults: readonly Fault[] = isRight
    ? []
    : [{ kind: status === 0 ? 'lost' : 'corrupt', what }];
  return { status, complete, requestId, left: false, faults };
}

/** Chunked ones go up in pieces, so that what the gateway scans is cut anywhere. */
async function upload(sent: ClientRequest, raw: Buffer, chunked: boolean): Promise<void> {
  const step = chunked ? Math.max(1, Math.ceil(raw.length / 5)) : raw.length;
  for (let at = 0; at < raw.length && !sent.destroyed; at += step) {
    sent.write(raw.subarray(at, at + step));
    if (chunked) await pause(1);
  }
  if (!sent.destroyed) sent.end();
}

interface Outcome {
  readonly answer: Answer;
  readonly hung: boolean;
  /** The client went away before it had read all. */
  readonly left: boolean;
}

function answerOf(
  sent: ClientRequest,
  slowSeed: number | null,
  { afterMs, atBytes }: Leaving,
): Promise<Outcome> {
  const reader = new AnswerReader(sent, slowSeed, atBytes);
  const leaving = afterMs === null ? null : setTimeout(() => reader.leave(), afterMs);
  const limit = setTimeout(() => reader.giveUp(), HANG_MS);
  return reader.over.then(() => {
    clearTimeout(limit);
    if (leaving !== null) clearTimeout(leaving);
    return reader.outcome();
  });
}

/** One answer as it comes, read to its end or to where its client leaves. */
class AnswerReader {
  readonly over: Promise<void>;
  readonly #sent: ClientRequest;
  readonly #random: (() => number) | null;
  readonly #atBytes: number | null;
  readonly #pieces: Buffer[] = [];
  #head: IncomingMessage | null = null;
  #bytes = 0;
  /** Not the parser's word, which runs ahead of what was read; and Node tells an end also behind a client that left. */
  #isWhole = false;
  #hasLeft = false;
  #hung = false;

  constructor(sent: ClientRequest, slowSeed: number | null, atBytes: number | null) {
    this.#sent = sent;
    this.#random = slowSeed === null ? null : seededRandom(slowSeed);
    this.#atBytes = atBytes;
    this.over = new Promise((resolve) => {
      sent.on('error', () => {});
      sent.on('response', (response) => {
        this.#read(response);
        response.on('close', resolve);
      });
      sent.on('close', () => {
        if (this.#head === null) resolve();
      });
    });
  }

  leave(): void {
    this.#hasLeft = true;
    this.#sent.destroy();
  }

  giveUp(): void {
    this.#hung = true;
    this.#sent.destroy();
  }

  outcome(): Outcome {
    const answer = {
      status: this.#head?.statusCode ?? 0,
      complete: this.#isWhole,
      requestId: String(this.#head?.headers['x-sluice-request-id'] ?? ''),
      text: Buffer.concat(this.#pieces).toString('latin1'),
    };
    return { answer, hung: this.#hung, left: this.#hasLeft && !this.#isWhole };
  }

  #read(response: IncomingMessage): void {
    this.#head = response;
    response.on('error', () => {});
    response.on('end', () => {
      this.#isWhole = response.complete && !this.#hasLeft;
    });
    response.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#atBytes !== null && this.#bytes >= this.#atBytes) this.leave();
      else if (this.#random !== null && this.#random() < RESTS) {
        response.pause();
        setTimeout(() => response.resume(), this.#random() * REST_MS);
      }
    });
  }
}

/**
 * Both ends of many event streams, in one process, so that one clock reads when an event leaves the upstream and when it
 * has come to the client. Raw sockets: a client library per stream would be the bottleneck.
 * node bench/ends/stream-ends.ts, driven by jobs on stdin (`bench/load.ts`).
 */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { percentile } from '../statistics.ts';
import { type Answer, answerJobs, nowMs } from './jobs.ts';

/** Streams opened at once, so that no accept queue overflows. */
const BATCH = 100;
/** What is waited for events that were sent. */
const PATIENCE_MS = 10_000;
const TICK_MS = 1;

const BODY = JSON.stringify({
  model: 'gpt-5-mini',
  stream: true,
  messages: [{ role: 'user', content: 'What did the river say to the stone?' }],
});

// A chunk of a chat stream as OpenAI sends it; its text is the moment when it left and its number, in fixed width.
const TIME_CHARACTERS = 20;
const NUMBER_CHARACTERS = 8;
const TEXT_CHARACTERS = TIME_CHARACTERS + NUMBER_CHARACTERS;
const MARK = '"content":"';
const [BEFORE = '', AFTER = ''] = `data: ${JSON.stringify({
  id: 'chatcmpl-C1hKpZ5vXyT9qLw2',
  object: 'chat.completion.chunk',
  created: 1_767_225_600,
  model: 'gpt-5-mini-2025-08-07',
  service_tier: 'default',
  system_fingerprint: 'fp_1a2b3c4d5e',
  choices: [{ index: 0, delta: { content: '~' }, logprobs: null, finish_reason: null }],
  usage: null,
})}\n\n`.split('~');
const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const REPORT = `data: ${JSON.stringify({
  id: 'chatcmpl-C1hKpZ5vXyT9qLw2',
  object: 'chat.completion.chunk',
  model: 'gpt-5-mini-2025-08-07',
  choices: [],
  usage: { prompt_tokens: 31, completion_tokens: 212, total_tokens: 243 },
})}\n\n`;
const LAST_LINE = 'data: [DONE]';
const LAST_CHUNK = '0\r\n\r\n';

function eventText(number: number): string {
  const time = nowMs().toFixed(6).padStart(TIME_CHARACTERS, '0');
  return BEFORE + time + String(number).padStart(NUMBER_CHARACTERS, '0') + AFTER;
}

interface Upstream {
  readonly socket: Socket;
  /** Whether the request asked for usage: the gateway adds that to metered ones. */
  readonly asked: boolean;
  sent: number;
}
const upstreams: Upstream[] = [];
const server = createServer({ noDelay: true }, (socket) => {
  let request = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    request += data.toString('latin1');
    // No event follows before the body is whole, which ends with the object's brace; connections are kept.
    if (!request.includes('\r\n\r\n') || !request.endsWith('}')) return;
    const stream = { socket, asked: request.includes('include_usage'), sent: 0 };
    request = '';
    upstreams.push(stream);
    socket.write(HEAD + chunked(eventText(stream.sent++)));
  });
});

function listen(): Promise<Answer> {
  return new Promise((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () =>
      resolve({ port: (server.address() as AddressInfo).port }),
    );
  });
}

/** How a stream ended for its client. */
type StreamEnd = 'exact' | 'cut' | 'without its last event' | 'out of order, or with usage';

/** Latencies of the run that is on. */
let latencies = new Float64Array(0);
let received = 0;

class Client {
  readonly socket: Socket;
  #rest = '';
  #events = 0;
  #isRight = true;
  readonly #first: (fault: string | null) => void;
  #ended: (how: StreamEnd) => void = () => {};
  readonly ended = new Promise<StreamEnd>((resolve) => {
    this.#ended = resolve;
  });

  /** @param first told once of the first event, or of what came instead */
  constructor(port: number, request: string, first: (fault: string | null) => void) {
    this.#first = first;
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('connect', () => this.socket.write(request));
    this.socket.on('data', (text: string) => this.#read(text));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.#events === 0) this.#first('a connection that ended');
      this.#ended('cut');
    });
  }

  #read(text: string): void {
    const all = this.#rest + text;
    const arrivedMs = nowMs();
    if (this.#events === 0 && !all.startsWith('HTTP/1.1 200')) this.#first(all);
    let at = 0;
    for (let mark = all.indexOf(MARK); mark !== -1; mark = all.indexOf(MARK, at)) {
      const from = mark + MARK.length;
      if (from + TEXT_CHARACTERS > all.length) break;
      at = from + TEXT_CHARACTERS;
      const number = Number(all.slice(from + TIME_CHARACTERS, at));
      if (number !== this.#events++) this.#isRight = false;
      if (number === 0) this.#first(null);
      latencies[received++] = arrivedMs - Number(all.slice(from, from + TIME_CHARACTERS));
    }
    // Only the gateway asked for usage, so no client may see it.
    if (all.includes('"prompt_tokens"', at)) this.#isRight = false;
    if (all.endsWith(LAST_CHUNK)) {
      // Not with its line ends: a relay may cut chunks where it likes, and ours sends the last byte by itself.
      if (!this.#isRight) this.#ended('out of order, or with usage');
      else this.#ended(all.includes(LAST_LINE) ? 'exact' : 'without its last event');
    }
    // At most the beginning of one event.
    this.#rest = all.slice(Math.max(at, all.length - BEFORE.length - TEXT_CHARACTERS));
  }
}

const clients: Client[] = [];

/** Resolves when every stream has had its first event. */
async function open(port: number, key: string, fields: string, streams: number): Promise<Answer> {
  const request = `POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\nauthorization: Bearer ${key}\r\n${fields}content-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
  for (let made = 0; made < streams; made += BATCH) {
    const batch = Math.min(BATCH, streams - made);
    await new Promise<void>((resolve, reject) => {
      let opened = 0;
      const first = (fault: string | null): void => {
        if (fault !== null) reject(new Error(`no stream but ${fault}`));
        else if (++opened === batch) resolve();
      };
      for (let i = 0; i < batch; i++) clients.push(new Client(port, request, first));
    });
  }
  return { streams: clients.length };
}

/** Events at a constant rate over all streams together, in turn; resolves when each has arrived. */
async function run(perSecond: number, seconds: number): Promise<Answer> {
  const total = Math.round(perSecond * seconds);
  latencies = new Float64Array(total);
  received = 0;
  const beganMs = nowMs();
  let sent = 0;
  await new Promise<void>((resolve, reject) => {
    const timer = setInterval(() => {
      const elapsedMs = nowMs() - beganMs;
      const due = Math.min(total, Math.floor((elapsedMs * perSecond) / 1_000));
      for (; sent < due; sent++) {
        const stream = upstreams[sent % upstreams.length];
        stream?.socket.write(chunked(eventText(stream.sent++)));
      }
      if (received < total && elapsedMs < seconds * 1_000 + PATIENCE_MS) return;
      clearInterval(timer);
      if (received === total) resolve();
      else reject(new Error(`${received} of ${total} events arrived`));
    }, TICK_MS);
  });
  const sorted = latencies.sort();
  return {
    events: total,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
  };
}

/** Ends every stream as providers do. @returns how many ended how; `exact` had every event, in order, and a clean end */
async function close(): Promise<Answer> {
  for (const { socket, asked } of upstreams)
    socket.write((asked ? chunked(REPORT) : '') + chunked(`${LAST_LINE}\n\n`) + LAST_CHUNK);
  const ends: Partial<Record<StreamEnd, number>> = {};
  for (const { ended } of clients) {
    const how = await ended;
    ends[how] = (ends[how] ?? 0) + 1;
  }
  for (const { socket } of clients) socket.destroy();
  clients.length = 0;
  upstreams.length = 0;
  return ends;
}

const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

answerJobs({
  listen,
  open: ({ port, key, fields, streams }) =>
    open(number(port), String(key), String(fields), number(streams)),
  run: ({ perSecond, seconds }) => run(number(perSecond), number(seconds)),
  close,
});

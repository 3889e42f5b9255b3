/**
 * Both ends of many event streams, in one process, so that one clock reads when an event leaves the upstream and when it
 * has come to the client. Raw sockets: a client library per stream would be the bottleneck.
 * node bench/ends/stream-ends.ts, driven by jobs on stdin (`bench/load.ts`).
 */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { percentile } from '../statistics.ts';
import { type Answer, answerJobs, nowMs } from './jobs.ts';
import {
  CALLER_WIRES,
  type CallerWire,
  type CallerWireName,
  UPSTREAM_WIRES,
  type UpstreamWire,
  type UpstreamWireName,
} from './stream-wires.ts';

/** Streams opened at once, so that no accept queue overflows. */
const BATCH = 100;
/** What is waited for events that were sent. */
const PATIENCE_MS = 10_000;
const TICK_MS = 1;

// An event's text is the moment when it left and its number, in fixed width.
const TIME_CHARACTERS = 20;
const NUMBER_CHARACTERS = 8;
const TEXT_CHARACTERS = TIME_CHARACTERS + NUMBER_CHARACTERS;
/** The beginning of an event, or of its end, which a read may have cut; in characters. */
const REST_CHARACTERS = 512;
const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const LAST_CHUNK = '0\r\n\r\n';

let wire: UpstreamWire = UPSTREAM_WIRES['openai-chat'];
let head = '';

function eventText(number: number): string {
  const [before, after] = wire.around;
  const time = nowMs().toFixed(6).padStart(TIME_CHARACTERS, '0');
  return before + time + String(number).padStart(NUMBER_CHARACTERS, '0') + after;
}

interface Upstream {
  readonly socket: Socket;
  /** Whether the request asked for usage: the gateway adds that to metered ones. */
  readonly asked: boolean;
  sent: number;
}
const upstreams: Upstream[] = [];
/** Whether streams that are opened now end behind their first text. */
let areBrief = false;
const server = createServer({ noDelay: true }, (socket) => {
  let request = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    request += data.toString('latin1');
    // No event follows before the body is whole, which ends with the object's brace; connections are kept.
    if (!request.includes('\r\n\r\n') || !request.endsWith('}')) return;
    const stream = { socket, asked: request.includes('include_usage'), sent: 0 };
    request = '';
    const first = (wire.opening === '' ? '' : chunked(wire.opening)) + chunked(eventText(0));
    stream.sent++;
    socket.write(head + first);
    if (areBrief) end(stream);
    else upstreams.push(stream);
  });
});

function end({ socket, asked }: Upstream): void {
  const report = asked && wire.report !== '' ? chunked(wire.report) : '';
  socket.write(report + chunked(wire.closing) + LAST_CHUNK);
}

function listen(name: string): Promise<Answer> {
  wire = UPSTREAM_WIRES[name as UpstreamWireName];
  head = `HTTP/1.1 200 OK\r\ncontent-type: ${wire.contentType}\r\ntransfer-encoding: chunked\r\n\r\n`;
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

/** All streams of one opening. */
interface Opening {
  readonly port: number;
  readonly request: string;
  readonly wire: CallerWire;
  /** Whether their events are those of a run. */
  readonly isTimed: boolean;
}

class Client {
  readonly socket: Socket;
  readonly #wire: CallerWire;
  readonly #isTimed: boolean;
  #rest = '';
  #events = 0;
  #isRight = true;
  #hasEnd = false;
  readonly #first: (fault: string | null) => void;
  #ended: (how: StreamEnd) => void = () => {};
  readonly ended = new Promise<StreamEnd>((resolve) => {
    this.#ended = resolve;
  });

  /** @param first told once of the first event, or of what came instead */
  constructor({ port, request, wire, isTimed }: Opening, first: (fault: string | null) => void) {
    this.#wire = wire;
    this.#isTimed = isTimed;
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
    const { mark: sign, end, unasked } = this.#wire;
    for (let mark = all.indexOf(sign); mark !== -1; mark = all.indexOf(sign, at)) {
      const from = mark + sign.length;
      if (from + TEXT_CHARACTERS > all.length) break;
      at = from + TEXT_CHARACTERS;
      const number = Number(all.slice(from + TIME_CHARACTERS, at));
      if (number !== this.#events++) this.#isRight = false;
      if (number === 0) this.#first(null);
      if (this.#isTimed)
        latencies[received++] = arrivedMs - Number(all.slice(from, from + TIME_CHARACTERS));
    }
    // Only the gateway asked for usage, so no client may see it.
    if (unasked !== '' && all.includes(unasked, at)) this.#isRight = false;
    if (all.includes(end, at)) this.#hasEnd = true;
    if (all.endsWith(LAST_CHUNK)) {
      // Not with its line ends: a relay may cut chunks where it likes, and ours sends the last byte by itself.
      if (!this.#isRight) this.#ended('out of order, or with usage');
      else this.#ended(this.#hasEnd ? 'exact' : 'without its last event');
    }
    // At most the beginning of one event.
    this.#rest = all.slice(Math.max(at, all.length - REST_CHARACTERS));
  }
}

const clients: Client[] = [];

let opening: Opening | null = null;

interface Asked {
  readonly port: number;
  readonly key: string;
  /** Field lines beside host, key, content type and length, each with its CRLF. */
  readonly fields: string;
  readonly caller: CallerWireName;
  readonly path: string | null;
  readonly model: string;
}

function openingOf({ port, key, fields, caller, path, model }: Asked): Opening {
  const wire = CALLER_WIRES[caller];
  const body = wire.body(model);
  const request =
    `POST ${path ?? wire.path} HTTP/1.1\r\nhost: s\r\nauthorization: Bearer ${key}\r\n${wire.fields}${fields}` +
    `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  return { port, request, wire, isTimed: true };
}

/** Resolves when every stream has had its first event. */
async function open(asked: Asked, streams: number): Promise<Answer> {
  const of = openingOf(asked);
  opening = of;
  for (let made = 0; made < streams; made += BATCH) {
    const batch = Math.min(BATCH, streams - made);
    await new Promise<void>((resolve, reject) => {
      let opened = 0;
      const first = (fault: string | null): void => {
        if (fault !== null) reject(new Error(`no stream but ${fault}`));
        else if (++opened === batch) resolve();
      };
      for (let i = 0; i < batch; i++) clients.push(new Client(of, first));
    });
  }
  return { streams: clients.length };
}

/**
 * Events at a constant rate over all streams together, in turn; resolves when each has arrived.
 * @param atOnce events of one stream that are one write
 * @param openedPerSecond further streams beside them, of one text each
 */
async function run(
  perSecond: number,
  seconds: number,
  atOnce: number,
  openedPerSecond: number,
): Promise<Answer> {
  const total = Math.round((perSecond * seconds) / atOnce) * atOnce;
  const opened = Math.round(openedPerSecond * seconds);
  latencies = new Float64Array(total);
  received = 0;
  areBrief = true;
  const firsts: number[] = [];
  const brief: Promise<StreamEnd>[] = [];
  const beganMs = nowMs();
  let sent = 0;
  await new Promise<void>((resolve, reject) => {
    const timer = setInterval(() => {
      const elapsedMs = nowMs() - beganMs;
      const due = (rate: number): number => Math.floor((elapsedMs * rate) / 1_000);
      for (; sent < Math.min(total, due(perSecond)); sent += atOnce) {
        const stream = upstreams[(sent / atOnce) % upstreams.length];
        if (stream === undefined) continue;
        let told = '';
        for (let i = 0; i < atOnce; i++) told += chunked(eventText(stream.sent++));
        stream.socket.write(told);
      }
      for (; brief.length < Math.min(opened, due(openedPerSecond)); )
        brief.push(openBrief(firsts, reject));
      const isWhole = received === total && firsts.length === opened;
      if (!isWhole && elapsedMs < seconds * 1_000 + PATIENCE_MS) return;
      clearInterval(timer);
      if (isWhole) resolve();
      else reject(new Error(`${received} of ${total} events arrived`));
    }, TICK_MS);
  });
  for (const how of await Promise.all(brief))
    if (how !== 'exact') throw new Error(`a stream of one text ended: ${how}`);
  areBrief = false;
  const sorted = latencies.sort();
  const times = Float64Array.from(firsts).sort();
  return {
    events: total,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    firstP50Ms: percentile(times, 0.5),
    firstP99Ms: percentile(times, 0.99),
  };
}

/** @param firsts where it is put how long its text took from the moment when it was due, in milliseconds */
async function openBrief(firsts: number[], broken: (why: Error) => void): Promise<StreamEnd> {
  if (opening === null) throw new Error('no stream is open');
  const dueMs = nowMs();
  const client = new Client({ ...opening, isTimed: false }, (fault) => {
    if (fault === null) firsts.push(nowMs() - dueMs);
    else broken(new Error(`no stream but ${fault}`));
  });
  const how = await client.ended;
  client.socket.destroy();
  return how;
}

/** Ends every stream as providers do. @returns how many ended how; `exact` had every event, in order, and a clean end */
async function close(): Promise<Answer> {
  for (const stream of upstreams) end(stream);
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
  listen: ({ wire }) => listen(String(wire)),
  open: (asked) => open(asked as unknown as Asked, number(asked['streams'])),
  run: ({ perSecond, seconds, atOnce, openedPerSecond }) =>
    run(number(perSecond), number(seconds), number(atOnce), number(openedPerSecond)),
  close,
});

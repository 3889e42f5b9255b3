import { afterEach, describe, expect, it } from 'vitest';
import { ConnectionLimit, LimitedTransport } from '../../../src/upstream/limited.ts';
import type {
  Transport,
  UpstreamCall,
  UpstreamEvents,
  UpstreamRequest,
} from '../../../src/upstream/transport.ts';

const REQUEST: UpstreamRequest = {
  method: 'POST',
  target: '/',
  fields: [],
  poolKey: null,
  coding: 'chunked',
  contentLength: -1,
  owner: '',
};

/** Remembers what it was asked for: what a limit does is all before it. */
class Opened implements UpstreamCall {
  readonly reached = true;
  content: string;
  whole: boolean;
  aborted = false;
  paused = false;
  readonly events: UpstreamEvents;

  constructor(content: string, whole: boolean, events: UpstreamEvents) {
    this.content = content;
    this.whole = whole;
    this.events = events;
  }
  push(piece: Buffer): boolean {
    this.content += piece.toString();
    return true;
  }
  end(): void {
    this.whole = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  abort(): void {
    this.aborted = true;
  }
}

let opened: Opened[] = [];
let waiting = 0;
let turnedAway = 0;
const clock = { now: 0 };
const inner: Transport = {
  open(_request, content, whole, events) {
    const call = new Opened(Buffer.concat(content).toString(), whole, events);
    opened.push(call);
    return call;
  },
};

afterEach(() => {
  opened = [];
  waiting = 0;
  turnedAway = 0;
  clock.now = 0;
});

function limitedTo(connections: number, queue: number, patienceMs = 0) {
  const limit = new ConnectionLimit({
    waiting: (change) => {
      waiting += change;
    },
    turnedAway: () => turnedAway++,
  });
  limit.set(connections, queue, patienceMs);
  return { limit, transport: new LimitedTransport(inner, limit, clock) };
}

/** What one exchange is told. */
class Told implements UpstreamEvents {
  said: string[] = [];
  onRequestRetried(): void {
    this.said.push('retried');
  }
  onUploadDrained(): void {
    this.said.push('drained');
  }
  onResponseHead(): void {
    this.said.push('head');
  }
  onResponseChunk(): void {
    this.said.push('chunk');
  }
  onResponseEnd(): void {
    this.said.push('end');
  }
  onUpstreamFailure({ code }: { readonly code: string }): void {
    this.said.push(code);
  }
}

const turn = (): Promise<void> => Promise.resolve();

describe('a provider with a cap', () => {
  it('runs so many, and the next one when one is over, first come first served', async () => {
    const { transport } = limitedTo(1, 9);
    const told = [new Told(), new Told(), new Told()];
    for (const one of told) transport.open(REQUEST, [Buffer.from('x')], true, one);
    expect([opened.length, waiting]).toEqual([1, 2]);
    opened[0]?.events.onResponseEnd();
    expect(opened).toHaveLength(1);
    await turn();
    expect([opened.length, waiting]).toEqual([2, 1]);
    opened[1]?.events.onUpstreamFailure({
      kind: 'reset',
      rejection: 'upstream_unreachable',
      code: 'ECONNRESET',
    });
    await turn();
    expect([opened.length, waiting]).toEqual([3, 0]);
    expect(told.map(({ said }) => said)).toEqual([['end'], ['ECONNRESET'], []]);
  });

  it('gives what came while it waited as it came, and keeps no view of what was lent', async () => {
    const { transport } = limitedTo(1, 9);
    transport.open(REQUEST, [], true, new Told());
    const lent = Buffer.from('one ');
    const call = transport.open(REQUEST, [lent], false, new Told());
    lent.fill(0);
    const more = Buffer.from('two');
    expect(call.push(more)).toBe(false);
    more.fill(0);
    call.end();
    call.pause();
    expect(call.reached).toBe(false);
    opened[0]?.events.onResponseEnd();
    await turn();
    expect(opened[1]).toMatchObject({ content: 'one two', whole: true, paused: true });
    expect(call.reached).toBe(true);
  });

  it('turns away whoever finds the queue full, behind the call that opened it', async () => {
    const { transport } = limitedTo(1, 1);
    const told = [new Told(), new Told(), new Told()];
    for (const one of told) transport.open(REQUEST, [], true, one);
    expect(told[2]?.said).toEqual([]);
    await turn();
    expect(told[2]?.said).toEqual(['CONNECTION_LIMIT']);
    expect([opened.length, waiting, turnedAway]).toEqual([1, 1, 1]);
  });

  it('turns away whoever waited for too long, and nobody earlier', () => {
    const { limit, transport } = limitedTo(1, 9, 100);
    const told = [new Told(), new Told(), new Told()];
    transport.open(REQUEST, [], true, told[0] ?? new Told());
    transport.open(REQUEST, [], true, told[1] ?? new Told());
    clock.now = 60;
    transport.open(REQUEST, [], true, told[2] ?? new Told());
    limit.onTick(100);
    expect(turnedAway).toBe(0);
    limit.onTick(101);
    expect(told.map(({ said }) => said)).toEqual([[], ['CONNECTION_LIMIT'], []]);
    expect([waiting, turnedAway]).toEqual([1, 1]);
  });

  it('forgets who leaves while it waits, and gives the place of who leaves while it runs', async () => {
    const { transport } = limitedTo(1, 9);
    const running = transport.open(REQUEST, [], true, new Told());
    const left = transport.open(REQUEST, [], true, new Told());
    transport.open(REQUEST, [Buffer.from('last')], true, new Told());
    left.abort();
    left.abort();
    expect(waiting).toBe(1);
    running.abort();
    running.abort();
    await turn();
    expect(opened.map(({ content, aborted }) => [content, aborted])).toEqual([
      ['', true],
      ['last', false],
    ]);
    // Nobody's place was given twice.
    transport.open(REQUEST, [], true, new Told());
    expect([opened.length, waiting]).toEqual([2, 1]);
  });

  it('tells who waited when its turn ends in a bug, and gives the turn to the next', async () => {
    const { transport } = limitedTo(1, 9);
    const told = [new Told(), new Told(), new Told()];
    for (const one of told.slice(0, 2)) transport.open(REQUEST, [], true, one);
    const { open } = inner;
    inner.open = () => {
      inner.open = open;
      throw new TypeError('a bug');
    };
    transport.open(REQUEST, [], true, told[2] ?? new Told());
    opened[0]?.events.onResponseEnd();
    await turn();
    await turn();
    expect(told.map(({ said }) => said)).toEqual([['end'], ['TypeError: a bug'], []]);
    expect([opened.length, waiting]).toEqual([2, 0]);
  });

  it('lets those that wait go when a new configuration lifts the cap', () => {
    const { limit, transport } = limitedTo(1, 9);
    for (let i = 0; i < 3; i++) transport.open(REQUEST, [], true, new Told());
    limit.set(Number.POSITIVE_INFINITY, 0, 0);
    expect([opened.length, waiting]).toEqual([3, 0]);
  });
});

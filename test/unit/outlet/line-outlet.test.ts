import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import {
  FACT_QUEUE_MAX_BYTES,
  LineOutlet,
  LOG_QUEUE_MAX_BYTES,
  type Spill,
} from '../../../src/outlet/line-outlet.ts';
import { StreamSink } from '../../../src/outlet/stdout.ts';
import { nextTurn } from '../../support/conditions.ts';

/** A stdout whose reader takes what it is told to take. */
class Reader extends Writable {
  readonly taken: string[] = [];
  #pending: (() => void) | null = null;
  stalled: boolean;

  constructor(stalled = false) {
    super();
    this.stalled = stalled;
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const take = (): void => {
      this.taken.push(bytes.toString());
      done();
    };
    if (this.stalled) this.#pending = take;
    else take();
  }

  resume(): void {
    this.stalled = false;
    this.#pending?.();
    this.#pending = null;
  }

  get lines(): readonly string[] {
    return this.taken.join('').split('\n').slice(0, -1);
  }
}

/** A disk of any speed: what it has taken is on it at once. */
class Disk implements Spill {
  text = '';
  full = false;
  closed = false;
  written = 0;
  waitingBytes = 0;
  readonly maxBytes = 1_000;
  readonly isBusy = false;
  onProgress = (): void => {};
  onChange = (): void => {};

  append(lines: Uint8Array): boolean {
    if (this.full) return false;
    const text = Buffer.from(lines).toString();
    this.text += text;
    this.written += text.split('\n').length - 1;
    return true;
  }

  async close(): Promise<number> {
    this.closed = true;
    return 0;
  }
}

/** A line of so many bytes, its newline included. */
const lineOf = (bytes: number): Buffer => Buffer.from(`${'x'.repeat(bytes - 1)}\n`);

describe('LineOutlet, while its reader reads', () => {
  it('passes lines on whole and in order', async () => {
    const reader = new Reader();
    const out = new LineOutlet(new StreamSink(reader), null);
    out.log(Buffer.from('a\n'));
    out.facts(Buffer.from('f\ng\n'));
    out.log(Buffer.from('b\n'));
    await out.flush(1_000);
    expect(reader.lines).toEqual(['a', 'f', 'g', 'b']);
    expect([out.linesDropped, out.factsSpilled, out.factsLost]).toEqual([0, 0, 0]);
  });

  it('hands much over in few writes', async () => {
    const reader = new Reader(true);
    const out = new LineOutlet(new StreamSink(reader), null);
    for (let i = 0; i < 10_000; i++) out.log(Buffer.from(`line ${i}\n`));
    reader.resume();
    await out.flush(5_000);
    expect(reader.lines).toHaveLength(10_000);
    expect(reader.taken.length).toBeLessThan(20);
  });
});

describe('LineOutlet, while its reader stalls', () => {
  it('drops log lines beyond their bound, counts them, and says nothing of facts', async () => {
    const reader = new Reader(true);
    const out = new LineOutlet(new StreamSink(reader), null);
    const line = lineOf(1_048_576);
    const fits = LOG_QUEUE_MAX_BYTES / line.length;
    for (let i = 0; i < fits + 5; i++) out.log(line);
    out.facts(Buffer.from('fact\n'));
    expect(out.linesDropped).toBe(5);
    reader.resume();
    await out.flush(5_000);
    expect(reader.lines).toHaveLength(fits + 1);
    expect(reader.lines.at(-1)).toBe('fact');
  });

  it('spills facts beyond their bound, and a full log takes no room from them', async () => {
    const reader = new Reader(true);
    const disk = new Disk();
    const out = new LineOutlet(new StreamSink(reader), disk);
    for (let i = 0; i < 20; i++) out.log(lineOf(1_048_576));
    const line = lineOf(1_048_576);
    const fits = FACT_QUEUE_MAX_BYTES / line.length;
    for (let i = 0; i < fits; i++) out.facts(line);
    expect(out.factsSpilled).toBe(0);
    out.facts(Buffer.from('one\ntwo\n'));
    expect([out.factsSpilled, out.factsLost, disk.text]).toEqual([2, 0, 'one\ntwo\n']);
    reader.resume();
    await out.flush(10_000);
    out.facts(Buffer.from('three\n'));
    await out.flush(1_000);
    expect(reader.lines.at(-1)).toBe('three');
  });

  it('counts facts as lost when there is nowhere to spill them', () => {
    const out = new LineOutlet(new StreamSink(new Reader(true)), null);
    for (let i = 0; i < FACT_QUEUE_MAX_BYTES / 1_048_576; i++) out.facts(lineOf(1_048_576));
    out.facts(Buffer.from('a\nb\nc\n'));
    expect(out.factsLost).toBe(3);
  });

  it('counts facts as lost while the spill has no room, and spills again when it has', () => {
    const disk = new Disk();
    const out = new LineOutlet(new StreamSink(new Reader(true)), disk);
    for (let i = 0; i < FACT_QUEUE_MAX_BYTES / 1_048_576; i++) out.facts(lineOf(1_048_576));
    disk.full = true;
    for (let i = 0; i < 3; i++) out.facts(Buffer.from('lost\n'));
    disk.full = false;
    for (let i = 0; i < 3; i++) out.facts(Buffer.from('kept\n'));
    expect([out.factsLost, out.factsSpilled]).toEqual([3, 3]);
  });

  it('says that there is no room from three quarters of the bound on, and again below half of it', async () => {
    const reader = new Reader(true);
    const out = new LineOutlet(new StreamSink(reader), null);
    const told: boolean[] = [];
    out.onRoomChange = (hasRoom) => told.push(hasRoom);
    const line = lineOf(1_048_576);
    const fits = FACT_QUEUE_MAX_BYTES / line.length;
    for (let i = 0; i < fits * 0.75 - 1; i++) out.facts(line);
    expect([told, out.hasRoom]).toEqual([[], true]);
    out.facts(line);
    expect([told, out.hasRoom, out.factsLost]).toEqual([[false], false, 0]);
    reader.resume();
    await out.flush(10_000);
    expect([told, out.hasRoom]).toEqual([[false, true], true]);
  });

  it('has room while the spill has, and none where both are full', () => {
    const disk = new Disk();
    const out = new LineOutlet(new StreamSink(new Reader(true)), disk);
    for (let i = 0; i < FACT_QUEUE_MAX_BYTES / 1_048_576; i++) out.facts(lineOf(1_048_576));
    expect(out.hasRoom).toBe(true);
    disk.waitingBytes = disk.maxBytes;
    out.facts(Buffer.from('one more\n'));
    expect(out.hasRoom).toBe(false);
    disk.waitingBytes = 0;
    disk.onProgress();
    expect(out.hasRoom).toBe(true);
  });

  it('flush gives up at its limit, and close spills what was not taken', async () => {
    const disk = new Disk();
    const out = new LineOutlet(new StreamSink(new Reader(true)), disk);
    out.facts(Buffer.from('under way\n'));
    out.log(Buffer.from('a line\n'));
    out.facts(Buffer.from('waiting\n'));
    await out.flush(20);
    const told: boolean[] = [];
    out.onRoomChange = (hasRoom) => told.push(hasRoom);
    disk.waitingBytes = disk.maxBytes;
    await out.close(1_000);
    expect(told).toEqual([]);
    expect(disk.text).toBe('under way\nwaiting\n');
    expect(disk.closed).toBe(true);
    expect([out.factsSpilled, out.linesDropped]).toEqual([2, 1]);
  });
});

describe('LineOutlet, when its reader is gone', () => {
  it('spills what waits and what comes', async () => {
    const reader = new Reader(true);
    const disk = new Disk();
    const out = new LineOutlet(new StreamSink(reader), disk);
    out.facts(Buffer.from('before\n'));
    reader.destroy(new Error('EPIPE'));
    await nextTurn();
    out.facts(Buffer.from('after\n'));
    out.log(Buffer.from('nobody reads this\n'));
    expect(disk.text).toBe('before\nafter\n');
    expect(out.linesDropped).toBe(1);
    await out.flush(1_000);
  });
});

describe('LineOutlet, when a write fails and its reader stays', () => {
  it('spills what was not taken, says so once, and goes on writing', async () => {
    const written: string[] = [];
    let isFull = false;
    const sink = {
      isGone: false,
      isBusy: false,
      write: (bytes: Uint8Array, done: (error: Error | null) => void) => {
        if (!isFull) written.push(Buffer.from(bytes).toString());
        done(isFull ? new Error('ENOSPC') : null);
      },
    };
    const disk = new Disk();
    const out = new LineOutlet(sink, disk);
    const told: (string | null)[] = [];
    out.onWriteChange = (error) => told.push(error?.message ?? null);
    out.facts(Buffer.from('a\n'));
    isFull = true;
    out.facts(Buffer.from('b\n'));
    out.log(Buffer.from('line\n'));
    out.facts(Buffer.from('c\n'));
    isFull = false;
    out.facts(Buffer.from('d\n'));
    await out.flush(1_000);
    expect(written).toEqual(['a\n', 'd\n']);
    expect(disk.text).toBe('b\nc\n');
    expect(told).toEqual(['ENOSPC', null]);
    expect([out.factsSpilled, out.factsLost, out.linesDropped]).toEqual([2, 0, 1]);
  });
});

import { mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type ByteSink, FileSink, StreamSink } from '../../../src/outlet/stdout.ts';

const written = (sink: ByteSink, text: string): Promise<Error | null> =>
  new Promise((resolve) => sink.write(Buffer.from(text), resolve));

describe('FileSink', () => {
  it('writes in order, and is not gone after an error', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'sluice-sink-')), 'out');
    const sink = new FileSink(openSync(path, 'w'));
    expect(await written(sink, 'a\n')).toBe(null);
    expect(await written(sink, `${'x'.repeat(1_000_000)}\n`)).toBe(null);
    expect(readFileSync(path, 'utf8')).toBe(`a\n${'x'.repeat(1_000_000)}\n`);
    const full = new FileSink(openSync('/dev/full', 'w'));
    expect(await written(full, 'a\n')).toMatchObject({ code: 'ENOSPC' });
    expect(full.isGone).toBe(false);
  });
});

describe('StreamSink', () => {
  it('tells the write that is under way when its reader goes, and every one behind it', async () => {
    let isStalled = false;
    const stream = new Writable({
      write: (_chunk, _encoding, done) => {
        if (!isStalled) done();
      },
    });
    const sink = new StreamSink(stream);
    expect(await written(sink, 'a\n')).toBe(null);
    isStalled = true;
    const second = written(sink, 'b\n');
    stream.destroy(new Error('EPIPE'));
    expect(await second).toMatchObject({ message: 'EPIPE' });
    expect(sink.isGone).toBe(true);
    expect(await written(sink, 'c\n')).toMatchObject({ message: 'EPIPE' });
  });
});

import type { HttpResponse } from 'uWebSockets.js';
import { expect, it } from 'vitest';
import { UwsResponseWriter } from '../../../src/edge/response-writer.ts';
import { Ticker } from '../../../src/ticker.ts';

/** A front end whose connection is full from the first write on, until it is told otherwise. */
class FullConnection {
  sent = '';
  /** What a cork held, in order; empty for one that held nothing. */
  corks: string[] = [];
  isFull = true;
  drained: () => void = () => {};

  cork(write: () => void): void {
    const before = this.sent.length;
    write();
    this.corks.push(this.sent.slice(before));
  }
  writeStatus(): void {}
  onWritable(drained: () => void): void {
    this.drained = drained;
  }
  write(piece: Buffer): boolean {
    this.sent += piece.toString();
    return !this.isFull;
  }
  close(): void {}
}

// Only a bug between a last piece and its end gets there, so no client can bring it about from outside.
it('what waits when a response is cut is a copy, even of a piece that was to be the last', () => {
  const ticker = new Ticker(1_000);
  const connection = new FullConnection();
  const writer = new UwsResponseWriter(connection as unknown as HttpResponse, ticker, ticker, 0);
  const lent = Buffer.from('one');
  writer.start('200 OK', 'chunked', true, false);
  expect(writer.write(lent, 'inner')).toBe(false);
  lent.write('two');
  writer.write(lent, 'last');
  writer.cut(null);
  lent.fill('x');
  connection.isFull = false;
  connection.drained();
  expect(connection.sent).toBe('onetwo');
  ticker.stop();
});

// A flush that failed silently leaves bytes in the front end alone: with nothing queued here, only that cork sends them.
it('a writable event begins with a cork of nothing, which drains what the front end itself holds', () => {
  const ticker = new Ticker(1_000);
  const connection = new FullConnection();
  const writer = new UwsResponseWriter(connection as unknown as HttpResponse, ticker, ticker, 0);
  connection.isFull = false;
  writer.start('200 OK', 'chunked', true, false);
  writer.write(Buffer.from('one'), 'inner');
  connection.corks = [];
  connection.drained();
  expect(connection.corks).toEqual(['']);
  ticker.stop();
});

import type { Buffer } from 'node:buffer';
import type { EventSink } from './event-stream.ts';

const LF = 0x0a;

/**
 * Tells the lines of a stream of JSON lines as an `EventStream` tells events, over any cuts: what each is made of, and where it
 * ends. A CR before the LF stays in its line: to JSON it is white space. Holds no bytes of the stream.
 */
export class JsonLines {
  /** No line has a name that could say so. */
  readonly wasError = false;

  /** @returns where to read on in the next chunk */
  begin(_chunk: Buffer): number {
    return 0;
  }

  /**
   * Reads on until the current line ends.
   * @returns the offset behind its end, or -1 when it goes on behind the chunk
   */
  read(chunk: Buffer, from: number, sink: EventSink): number {
    const found = chunk.indexOf(LF, from);
    const to = found < 0 ? chunk.length : found;
    if (to > from) sink.onData(chunk, from, to);
    return found < 0 ? -1 : found + 1;
  }

  /** The stream is over: its last line may have no end. */
  finish(): void {}
}

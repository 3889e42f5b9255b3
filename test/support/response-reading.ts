// What src/wire/response-parser.ts makes of a connection's bytes, in the words of the oracle beside it.
import {
  type ResponseFault,
  ResponseParser,
  type ResponseSink,
} from '../../src/wire/response-parser.ts';
import type { ReadResponse } from './llhttp.ts';

interface ParsedResponse extends ReadResponse {
  readonly fault: ResponseFault | null;
  /** Nothing stood behind the message. */
  readonly isClean: boolean;
  readonly isPersistent: boolean;
  /** Bytes of the pieces that the content came in. */
  readonly pieces: readonly number[];
  /** Whether the last piece of the content was said to be it. */
  readonly lastWasTold: boolean;
  /** What was told with the head: whether content stood behind it in the same read. */
  readonly followed: boolean;
  /** Whether content was told in the call that told the head. */
  readonly cameAlong: boolean;
  /** Bytes of the reads up to the one in which the message ended. */
  readonly readBytes: number;
}

class Collector implements ResponseSink {
  status = 0;
  reason = '';
  fields: readonly string[] = [];
  content = '';
  isWhole = false;
  isClean = false;
  fault: ResponseFault | null = null;
  lastWasTold = false;
  followed = false;
  cameAlong = false;
  readonly pieces: number[] = [];

  onHead(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    if (this.status !== 0) throw new Error('a second head');
    this.status = status;
    this.reason = reason;
    this.fields = fields;
    this.followed = followed;
  }

  onContent(piece: Buffer, last: boolean): void {
    if (this.isWhole || this.fault !== null || this.lastWasTold) throw new Error('late content');
    if (piece.length === 0) throw new Error('a piece of nothing');
    this.content += piece.toString('latin1');
    this.pieces.push(piece.length);
    this.lastWasTold = last;
  }

  onMessageEnd(clean: boolean): void {
    if (this.isWhole || this.fault !== null) throw new Error('a second end');
    this.isWhole = true;
    this.isClean = clean;
  }

  onFault(fault: ResponseFault): void {
    if (this.isWhole || this.fault !== null) throw new Error('a late fault');
    this.fault = fault;
  }
}

/** Each piece is lent: it is overwritten behind the call, as a connection's next read does. */
export function readByParser(
  pieces: readonly Buffer[],
  method: string,
  closes: boolean,
): ParsedResponse {
  const collector = new Collector();
  const parser = new ResponseParser(collector);
  parser.expect(method);
  let readBytes = 0;
  for (const piece of pieces) {
    if (collector.isWhole) break;
    readBytes += piece.length;
    const lent = Buffer.from(piece);
    const hadHead = collector.status !== 0;
    parser.push(lent);
    if (!hadHead) collector.cameAlong = collector.pieces.length > 0;
    lent.fill(0xee);
  }
  if (closes && !collector.isWhole) parser.close();
  const { status, reason, fields, content, isWhole, isClean, fault } = collector;
  const { lastWasTold, followed, cameAlong } = collector;
  const isPersistent = parser.persistent;
  return {
    status,
    reason,
    fields,
    content,
    isWhole,
    isClean,
    fault,
    lastWasTold,
    followed,
    cameAlong,
    isPersistent,
    pieces: collector.pieces,
    readBytes,
  };
}

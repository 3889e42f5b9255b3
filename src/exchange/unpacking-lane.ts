import { Buffer } from 'node:buffer';
import type { Transform } from 'node:stream';
import { type Rejection, rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';
import { type Consumed, type ContentCoding, unpacker } from '../wire/content-coding.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { ZstdFrames } from '../wire/zstd-frames.ts';
import type { Asked } from './attempt-terms.ts';
import type { Answer, Lane } from './lane.ts';

/**
 * Packed content may grow by so much, once it is longer than what any ratio may have: prompts and pictures in base64
 * shrink to a fifth, a conversation that repeats itself to a thirtieth. Ten bytes can be made gigabytes (zstd, Brotli).
 */
const RATIO_MAX = 100;
const RATIO_FROM_BYTES = 4 * 1_048_576;

/** Each frame costs a turn of the thread pool: who writes more of them writes them to be unpacked slowly. */
const ZSTD_FRAMES_MAX = 4_096;

const EMPTY = Buffer.alloc(0);
const CHUNKED: RequestFraming = {
  contentLength: -1,
  chunked: true,
  fault: null,
  lengthMissing: false,
};
const MALFORMED = rejection(
  'bad_request',
  'The body is not packed as Content-Encoding says, or it breaks off.',
);
const TOO_MANY_FRAMES = rejection('bad_request', `It has more than ${ZSTD_FRAMES_MAX} frames.`);
const BOMB = rejection('body_too_large', `It unpacks to more than ${RATIO_MAX} times its size.`);

/**
 * A lane for content that came packed: it is unpacked as it streams by, because what is packed can be neither metered nor
 * sent to every provider. Both of its sides hold back: a full lane stops the unpacking, and that the client.
 */
export class UnpackingLane implements Lane, Answer {
  readonly #coding: ContentCoding;
  readonly #limitBytes: number;
  readonly #answer: Answer;
  readonly #lane: Lane;
  /** What the lane reads of the request: its framing is told before its first piece. */
  readonly #asked: {
    readonly method: string;
    readonly fields: readonly string[];
    framing: RequestFraming;
  };
  /** Made with the first byte. */
  #stream: (Transform & Consumed) | null = null;
  readonly #frames: ZstdFrames | null;
  #bytesIn = 0;
  #bytesOut = 0;
  /** The last piece that was unpacked: it leaves when it is known whether another one follows. */
  #held: Buffer | null = null;
  #hasBegun = false;
  #isOver = false;

  /**
   * @param limitBytes of the unpacked content; 0 = no limit
   * @param open makes the lane that gets the unpacked content
   */
  constructor(
    coding: ContentCoding,
    limitBytes: number,
    asked: Asked,
    answer: Answer,
    open: (asked: Asked, answer: Answer) => Lane,
  ) {
    this.#coding = coding;
    this.#limitBytes = limitBytes;
    this.#answer = answer;
    this.#asked = { method: asked.method, fields: asked.fields, framing: asked.framing };
    this.#frames = coding === 'zstd' ? new ZstdFrames() : null;
    this.#lane = open(this.#asked, this);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#lane.begin();
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#isOver) return;
    this.#bytesIn += piece.length;
    const stream = this.#stream ?? this.#open(piece);
    // Lent, and unpacked later.
    const takesMore = piece.length === 0 || this.#write(stream, Buffer.from(piece));
    if (this.#isOver) return;
    if (last) stream.end();
    else if (!takesMore) this.#answer.uploadFull();
  }

  #open(piece: Buffer): Transform & Consumed {
    const stream = unpacker(this.#coding, piece[0] ?? 0);
    this.#stream = stream;
    // Called from the thread pool: each is an entry from outside.
    stream.on('data', (unpacked: Buffer) =>
      this.#guarded(() => this.#unpacked(unpacked, stream.bytesWritten)),
    );
    stream.on('drain', () =>
      this.#guarded(() => {
        if (!this.#isOver) this.#answer.uploadDrained();
      }),
    );
    stream.on('end', () => this.#guarded(() => this.#ended(stream)));
    stream.on('error', () => this.#guarded(() => this.#refuse(MALFORMED)));
    return stream;
  }

  /** What unpacks zstd reads no further than to a frame's end, and goes on with the next write. */
  #write(stream: Transform, piece: Buffer): boolean {
    if (this.#frames === null) return stream.write(piece);
    let takesMore = true;
    for (let at = 0; at < piece.length && !this.#isOver; ) {
      const end = this.#frames.read(piece, at);
      takesMore = stream.write(piece.subarray(at, end));
      at = end;
      if (this.#frames.count > ZSTD_FRAMES_MAX) this.#refuse(TOO_MANY_FRAMES);
    }
    return takesMore;
  }

  #guarded(entry: () => void): void {
    try {
      entry();
    } catch (error) {
      this.onBroken(error);
    }
  }

  /** @param usedBytes of the packed content, so far: what still waits does not excuse what came of it */
  #unpacked(piece: Buffer, usedBytes: number): void {
    if (this.#isOver) return;
    this.#bytesOut += piece.length;
    if (this.#limitBytes > 0 && this.#bytesOut > this.#limitBytes) {
      this.#refuse(
        rejection('body_too_large', `The limit is ${this.#limitBytes} bytes, unpacked.`),
      );
    } else if (this.#bytesOut > RATIO_FROM_BYTES && this.#bytesOut > RATIO_MAX * usedBytes) {
      this.#refuse(BOMB);
    } else {
      const before = this.#held;
      this.#held = piece;
      if (before !== null) this.#give(before, false);
    }
  }

  #ended({ bytesWritten }: Consumed): void {
    if (this.#isOver) return;
    // Two of the libraries pass over what follows the packed data, one takes a part for the whole.
    if (bytesWritten !== this.#bytesIn || this.#frames?.isWhole === false) this.#refuse(MALFORMED);
    else this.#give(this.#held ?? EMPTY, true);
  }

  #give(piece: Buffer, last: boolean): void {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#asked.framing = last
        ? { ...CHUNKED, chunked: false, contentLength: piece.length }
        : CHUNKED;
    }
    this.#lane.body(piece, last);
  }

  #refuse(why: Rejection): void {
    if (this.#isOver) return;
    this.#close();
    this.#answer.refused(why);
  }

  uploadStalled(): void {
    this.#lane.uploadStalled();
  }

  writerDrained(): void {
    this.#lane.writerDrained();
  }

  clientLeft(): boolean {
    return this.#lane.clientLeft();
  }

  abort(): void {
    this.#close();
    this.#lane.abort();
  }

  giveBack(durationMs: number): void {
    this.#lane.giveBack(durationMs);
  }

  takeBack(): void {
    this.#close();
    this.#lane.takeBack();
  }

  account(settlement: Settlement): Account {
    return this.#lane.account(settlement);
  }

  #close(): void {
    this.#isOver = true;
    this.#held = null;
    this.#stream?.destroy();
  }

  // ---- the answer --------------------------------------------------------------------------------------------------

  uploadFull(): void {
    this.#stream?.pause();
  }

  uploadDrained(): void {
    this.#stream?.resume();
  }

  head(head: ResponseHead, followed: boolean): void {
    this.#answer.head(head, followed);
  }

  piece(piece: Buffer, last: boolean): boolean {
    return this.#answer.piece(piece, last);
  }

  answered(): void {
    this.#close();
    this.#answer.answered();
  }

  failed(failure: UpstreamFailure, detail: string): void {
    this.#close();
    this.#answer.failed(failure, detail);
  }

  refused(why: Rejection): void {
    this.#close();
    this.#answer.refused(why);
  }

  onBroken(error: unknown): void {
    this.#close();
    this.#answer.onBroken(error);
  }
}

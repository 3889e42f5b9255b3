import type { Buffer } from 'node:buffer';
import { DocumentGuarding, type DocumentHost } from '../guard/document-guarding.ts';
import { type GuardHost, GuardSession, type GuardSet } from '../guard/guard-session.ts';
import { GuardedStream } from '../guard/text/guarded-stream.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { Deadlines, Due } from '../ticker.ts';
import { stoppedByGuard, type UpstreamFailure } from '../upstream/failure.ts';
import { FormatProbe } from '../wire/body-format.ts';
import { EventStream } from '../wire/event-stream.ts';
import { JsonElements } from '../wire/json-elements.ts';
import { JsonLines } from '../wire/json-lines.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import { type ResponseHead, withHead } from '../wire/response-head.ts';
import type { Asked } from './attempt-terms.ts';
import type { KeptBudget } from './kept-budget.ts';
import type { Answer, Lane } from './lane.ts';
import { RequestCopy } from './request-copy.ts';

/** What the guarded requests of a worker share. */
export interface GuardContext {
  readonly deadlines: Deadlines;
  readonly replay: KeptBudget;
  readonly replayMaxBytes: number;
  readonly held: KeptBudget;
  readonly metrics: WorkerMetrics;
}

/** Whoever keeps answers for others, where somebody does: a caller's own values are nobody else's. */
export interface AnswerKeeper {
  /** This one is not to be kept. */
  notKept(): void;
}

/** A whole answer, in bytes: a longer one is told as one that cannot be read. */
const WHOLE_MAX_BYTES = 32 * 1_048_576;

const NO_RETRY = 'x-should-retry: false\r\n';
const OPEN_BRACKET = 0x5b;

/** How an answer goes through its guards. */
type AnswerWay =
  /** None has anything to do with it. */
  | 'passing'
  /** It has begun, and its first byte says what it is. */
  | 'opening'
  | 'stream'
  | 'whole';

/**
 * A lane for requests whose policy has guards: they read and change the request before the lane behind it gets it, which is
 * when it is whole, and the answer before the client gets it, which is event by event.
 */
export class GuardedLane implements Lane, Answer, GuardHost, DocumentHost, Due {
  dueSlot = -1;
  readonly #context: GuardContext;
  readonly #session: GuardSession;
  readonly #answer: Answer;
  readonly #keeper: AnswerKeeper | null;
  readonly #lane: Lane;
  readonly #asked: {
    readonly method: string;
    readonly fields: readonly string[];
    framing: RequestFraming;
  };
  readonly #copy: RequestCopy;
  #phase: 'request' | 'response' = 'request';
  #isOver = false;
  /** The lane behind has told everything. */
  #isAnswered = false;
  #way: AnswerWay = 'passing';
  #isUnread = false;
  #head: ResponseHead | null = null;
  #probe: FormatProbe | null = null;
  #stream: GuardedStream | null = null;
  #whole: RequestCopy | null = null;
  #isStarted = false;
  /** The client takes no more for now. */
  #isFull = false;

  /**
   * @param about whose request it is
   * @param keeper stands before it; null where nobody keeps answers
   * @param open makes the lane that gets the guarded request
   */
  constructor(
    context: GuardContext,
    guards: GuardSet,
    about: { readonly tenant: string; readonly requestId: string },
    asked: Asked,
    answer: Answer,
    keeper: AnswerKeeper | null,
    open: (asked: Asked, answer: Answer) => Lane,
  ) {
    this.#context = context;
    this.#session = new GuardSession(guards, about);
    this.#session.host = this;
    this.#answer = answer;
    this.#keeper = keeper;
    this.#asked = { method: asked.method, fields: asked.fields, framing: asked.framing };
    this.#copy = new RequestCopy(
      context.replay,
      context.replayMaxBytes,
      asked.framing.contentLength,
    );
    this.#lane = open(this.#asked, this);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#phase = 'response';
    this.#lane.begin();
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#isOver) return;
    if (!this.#copy.append(piece) && (!last || this.#copy.isTooLarge)) {
      this.#refuse(
        rejection('body_too_large', `Guards read at most ${this.#context.replayMaxBytes} bytes.`),
      );
      return;
    }
    if (last) new DocumentGuarding(this.#session, 'request', this).guard(this.#copy.bytes);
  }

  /** Of the request, and then of a whole answer. */
  onGuarded(body: Buffer): void {
    if (this.#isOver) return;
    if (this.#phase === 'request') this.#send(body);
    else this.#tellWhole(body);
  }

  #send(body: Buffer): void {
    this.#phase = 'response';
    this.#asked.framing = {
      contentLength: body.length,
      chunked: false,
      fault: null,
      lengthMissing: false,
    };
    this.#lane.body(body, true);
    this.#copy.drop();
  }

  uploadStalled(): void {
    this.#lane.uploadStalled();
  }

  writerDrained(): void {
    this.#isFull = false;
    if (!this.#session.isAsking && !this.#isAnswered) this.#lane.writerDrained();
  }

  clientLeft(): boolean {
    return this.#lane.clientLeft();
  }

  abort(): void {
    this.#close();
    this.#lane.abort();
  }

  takeBack(): void {
    this.#close();
    this.#lane.takeBack();
  }

  giveBack(durationMs: number): void {
    this.#lane.giveBack(durationMs);
  }

  account(settlement: Settlement): Account {
    const account = this.#lane.account(settlement);
    const { report, counts } = this.#session;
    this.#context.metrics.guarded(counts);
    return { ...account, facts: account.facts.map((fact) => ({ ...fact, guards: report })) };
  }

  #refuse(why: Rejection): void {
    if (this.#isOver) return;
    this.#close();
    this.#answer.refused(why);
  }

  #close(): void {
    this.#isOver = true;
    this.#context.deadlines.clear(this);
    this.#copy.drop();
    this.#whole?.drop();
    this.#stream = this.#whole = null;
    this.#session.over();
  }

  // ---- the guards --------------------------------------------------------------------------------------------------

  onBlocked(): void {
    if (this.#isOver) return;
    const { blockedBy } = this.#session;
    const detail = `Guard "${blockedBy?.guard}" found ${blockedBy?.what}.`;
    const why = rejection('guard_blocked', detail, NO_RETRY);
    if (!this.#isStarted) {
      this.#refuse(why);
      return;
    }
    this.#close();
    this.#lane.abort();
    this.#answer.failed(stoppedByGuard(why), '');
  }

  onJudged(): void {
    if (this.#isOver || this.#stream === null) return;
    this.#stream.judged();
    if (this.#isAnswered) this.#endStream(this.#stream);
    else if (this.#tell(this.#stream) && !this.#session.isAsking) this.#lane.writerDrained();
  }

  onDue(): void {
    if (this.#isOver || this.#stream === null) return;
    // Nothing that could settle it comes before the judge has spoken: its time begins then.
    if (this.#session.isAsking) return;
    this.#stream.flush();
    this.#tell(this.#stream);
  }

  onDueBroken(error: unknown): void {
    this.onBroken(error);
  }

  // ---- the answer --------------------------------------------------------------------------------------------------

  uploadFull(): void {}

  uploadDrained(): void {}

  head(head: ResponseHead, followed: boolean): void {
    if (this.#isOver) return;
    const hasBody = head.size !== 'none' && head.size !== 0;
    if (!hasBody || !this.#session.guardsAnswers) {
      this.#start(head, followed);
      return;
    }
    this.#head = head;
    this.#session.isFailure = head.status >= 400;
    if (head.format === null) {
      // Packed: what is in it nobody can tell.
      this.#passUnread();
      if (!this.#isOver) this.#start(head, followed);
      return;
    }
    this.#way = 'opening';
    this.#probe = new FormatProbe(head.format);
    // A stream's beginning may take a while, and its head says that somebody is at it.
    if (head.format !== 'json') this.#start(withHead(head, head.head, 'chunked'), false);
  }

  /** Nobody can read it: its pieces are counted as they pass, where they may. */
  #passUnread(): void {
    this.#way = 'passing';
    this.#isUnread = true;
    this.#session.unread('response');
  }

  #start(head: ResponseHead, followed: boolean): void {
    this.#isStarted = true;
    this.#head = null;
    this.#answer.head(head, followed);
  }

  piece(piece: Buffer, last: boolean): boolean {
    if (this.#isOver) return true;
    if (this.#way === 'opening') this.#open(piece);
    if (this.#isOver) return true;
    if (this.#stream !== null) {
      this.#stream.push(piece);
      return this.#isOver || (this.#tell(this.#stream) && !this.#session.isAsking);
    }
    if (this.#whole === null) {
      if (this.#isUnread) this.#session.unscannedBytes += piece.length;
      return this.#answer.piece(piece, last);
    }
    return this.#keep(this.#whole, piece, last);
  }

  #open(piece: Buffer): void {
    const at = this.#probe?.push(piece) ?? -1;
    const format = this.#probe?.format ?? null;
    if (format === null) {
      this.#begun(null);
      return;
    }
    this.#probe = null;
    if (format === 'page' || format === 'packed') {
      this.#passUnread();
      if (!this.#isOver && this.#head !== null) this.#start(this.#head, false);
    } else if (format === 'json' && piece[at] !== OPEN_BRACKET) this.#begun('whole');
    else {
      this.#stream = new GuardedStream(framingOf(format), this.#session);
      this.#begun('stream');
    }
  }

  /** @param way null: only white space came so far */
  #begun(way: 'stream' | 'whole' | null): void {
    if (way !== null) this.#way = way;
    if (way === 'stream' && this.#head !== null)
      this.#start(withHead(this.#head, this.#head.head, 'chunked'), false);
    if (way !== 'stream') this.#whole ??= new RequestCopy(this.#context.held, WHOLE_MAX_BYTES, -1);
    else if (this.#whole !== null) {
      // White space that came before it.
      this.#stream?.push(this.#whole.bytes);
      this.#whole.drop();
      this.#whole = null;
    }
  }

  #keep(whole: RequestCopy, piece: Buffer, last: boolean): boolean {
    if (whole.append(piece) || last) return true;
    this.#session.unscannedBytes += whole.length;
    this.#passUnread();
    if (this.#isOver) return true;
    if (this.#head !== null) this.#start(this.#head, true);
    const takesMore = this.#answer.piece(whole.bytes, false);
    whole.drop();
    this.#whole = null;
    return takesMore;
  }

  /** @returns false when the client takes no more for now */
  #tell(stream: GuardedStream): boolean {
    const { deadlines } = this.#context;
    const told = stream.take();
    if (told.length > 0) {
      deadlines.clear(this);
      if (!this.#answer.piece(told, false)) this.#isFull = true;
    }
    if (!stream.isHolding) deadlines.clear(this);
    else if (this.dueSlot < 0)
      deadlines.set(this, Math.max(0, this.#session.maxHoldMs - stream.heldMs));
    return !this.#isFull;
  }

  answered(): void {
    if (this.#isOver) return;
    this.#isAnswered = true;
    if (this.#stream !== null) {
      this.#stream.finish();
      if (!this.#isOver) this.#endStream(this.#stream);
    } else if (this.#whole !== null) {
      new DocumentGuarding(this.#session, 'response', this).guard(this.#whole.bytes);
    } else this.#end();
  }

  #endStream(stream: GuardedStream): void {
    // Its last texts are being judged.
    if (stream.isHolding) {
      this.#tell(stream);
      return;
    }
    const told = stream.take();
    if (told.length > 0) this.#answer.piece(told, true);
    this.#end();
  }

  #tellWhole(body: Buffer): void {
    const head = this.#head;
    if (head !== null) this.#start(withHead(head, head.head, body.length), true);
    this.#answer.piece(body, true);
    this.#end();
  }

  #end(): void {
    if (this.#session.isChanged) this.#keeper?.notKept();
    this.#close();
    this.#answer.answered();
  }

  failed(failure: UpstreamFailure, detail: string): void {
    if (this.#isOver) return;
    const stream = this.#stream;
    if (stream !== null) {
      stream.cut();
      // A guard may not have what was held.
      if (this.#isOver) return;
      const told = stream.take();
      if (told.length > 0) this.#answer.piece(told, false);
    }
    this.#close();
    this.#answer.failed(failure, detail);
  }

  refused(why: Rejection): void {
    this.#refuse(why);
  }

  onBroken(error: unknown): void {
    this.#close();
    this.#answer.onBroken(error);
  }
}

function framingOf(format: 'events' | 'lines' | 'json'): EventStream | JsonLines | JsonElements {
  if (format === 'events') return new EventStream();
  return format === 'lines' ? new JsonLines() : new JsonElements();
}

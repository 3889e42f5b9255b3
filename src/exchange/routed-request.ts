import type { Buffer } from 'node:buffer';
import type { Routed } from '../admit/admission.ts';
import { isOfMoney, isOverBudget } from '../budget/budget-refusals.ts';
import { ChainSpending } from '../budget/chain-spending.ts';
import type { CleanedRequest } from '../dialect/foreign-thoughts.ts';
import type { TranslatedRequest } from '../dialect/translate.ts';
import type { Trial } from '../plan/planner.ts';
import type { Target } from '../plan/route-table.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Rejection } from '../rejection.ts';
import type { Settlement } from '../settle/settle.ts';
import { StateClaim } from '../stored/state-claim.ts';
import type { StreamWire } from '../wire/first-content.ts';
import { Attempt, type AttemptSink } from './attempt.ts';
import { type Asked, type AttemptContext, LEFT } from './attempt-terms.ts';
import type { KeptBudget } from './kept-budget.ts';
import type { Rehearsed } from './rehearsal.ts';
import { endpointOf, lossLines, translatedFields } from './request-translation.ts';
import { type BodyContext, RoutedBody } from './routed-body.ts';
import { noTarget } from './routed-refusals.ts';
import {
  plainStart,
  type RoutedStart,
  resolvedName,
  routedStart,
  type StartContext,
  startInstead,
} from './routed-start.ts';
import type { CountedTokens } from './token-count.ts';
import { TranslatedAnswer } from './translated-answer.ts';

/** What the requests of a worker share. */
export interface RequestContext extends AttemptContext, BodyContext, StartContext {
  /** What is held of answers. */
  readonly held: KeptBudget;
}

/** What a settlement says of the request itself. */
export type Said = Pick<Settlement, 'requestId' | 'traceparent' | 'payer'>;

/** What another target is asked, where it is asked to go on with an answer. */
export interface Continuing {
  readonly body: Buffer;
  /** What its path begins with for it, where that is another one than ever; else null. */
  readonly prefix: string | null;
}

/** Nothing more is said of attempts once the answer is the client's. */
const UNSAID: Said = { requestId: '', traceparent: null, payer: null };

/** Of paths that were put together: more than there are endpoints in use at once. */
const PATHS_MAX = 64;

interface Path {
  readonly prefix: string;
  readonly suffix: string;
  readonly path: string;
}

/** In characters; longer ones are nobody's endpoints. */
const PATH_MAX_CHARS = 128;

const PATHS: (Path | undefined)[] = new Array(PATHS_MAX).fill(undefined);

/** A path as one string, as long as its parts are: a new one would be put together, compared and searched with each request. */
function pathOf(prefix: string, suffix: string): string {
  const place = (prefix.length * 31 + suffix.length) % PATHS_MAX;
  const last = PATHS[place];
  if (last !== undefined && last.prefix === prefix && last.suffix === suffix) return last.path;
  const path = prefix + suffix;
  // What a caller made up is put together once.
  if (path.length <= PATH_MAX_CHARS) PATHS[place] = { prefix, suffix, path };
  return path;
}

/**
 * The client's request: its body on the way in, what is kept of it, and how it is asked of a target. All of it goes when the
 * answer is the client's: a stream may stay open for an hour behind that.
 */
export class RoutedRequest {
  readonly #context: RequestContext;
  #asked: Asked;
  /** Null when it was forgotten. */
  routed: Routed | null;
  #said: Said;
  /** From the first piece until the answer is the client's. */
  body: RoutedBody | null = null;
  #isBodyWhole = false;
  /** Until the body is whole: what it names of what is stored. */
  #claim: StateClaim | null;
  #start: RoutedStart | null = null;
  /** What it holds of its budgets while targets follow each other. */
  #chain: ChainSpending | null = null;
  /** It is served by what its budget has room for, in place of what was asked for. */
  #isInstead = false;
  /** Of the current attempt: what its translation lost, as field lines. */
  lossLines = '';
  /** What tells the current attempt's answer in the caller's wire. */
  #telling: TranslatedAnswer | null = null;
  /** Its beginning left with another model in it. */
  #wasEdited = false;

  constructor(context: RequestContext, asked: Asked, routed: Routed, said: Said) {
    this.#context = context;
    this.#asked = asked;
    this.routed = routed;
    this.#said = said;
    this.#claim = routed.namesState
      ? new StateClaim(context.stored, routed.identity.tenantWords, null)
      : null;
  }

  get wire(): StreamWire | null {
    return this.routed?.wire ?? null;
  }

  /**
   * Reads what a piece names of what is stored; before anything else is done with it.
   * @returns the claim, where this node has not heard of all that is named
   */
  read(piece: Buffer): StateClaim | null {
    const claim = this.#claim;
    claim?.push(piece);
    return claim?.isInDoubt === true ? claim : null;
  }

  /** @returns where it begins, what is answered here, or why it goes nowhere; null when more has to come first */
  gather(piece: Buffer, last: boolean): RoutedStart | CountedTokens | Rejection | null {
    const { routed } = this;
    if (routed === null) return null;
    this.body ??= new RoutedBody(this.#context, this.#asked.framing, routed);
    const { body } = this;
    const came = body.push(piece, last);
    if (came === 'more') return null;
    const { model } = body;
    if (came === 'foreign') return this.#beginForeign(routed, body, last);
    if (came === 'whole') return this.#begin(routed, body, true);
    if (came === 'full') {
      this.#context.metrics.replaySkipped();
      return model === null ? body.tooLate : this.#begin(routed, body, false);
    }
    if (model === null || resolvedName(this.#context.planner, routed, model).kind !== 'plain')
      return null;
    // Nothing is wished for but the default provider: no more is held, and nothing is kept.
    return this.#begin(routed, body, false);
  }

  #beginForeign(routed: Routed, body: RoutedBody, isWhole: boolean): RoutedStart | Rejection {
    const starting = { asked: this.#asked, routed, body, claim: this.#claim, isWhole };
    const start = plainStart(this.#context.planner, starting, '');
    return 'trial' in start ? this.#started(start) : start;
  }

  /** @param isWhole else the body goes on behind what is here */
  #begin(
    routed: Routed,
    body: RoutedBody,
    isWhole: boolean,
  ): RoutedStart | CountedTokens | Rejection {
    if (isWhole) body.release();
    this.#isBodyWhole = isWhole;
    const starting = { asked: this.#asked, routed, body, claim: this.#claim, isWhole };
    const start = routedStart(this.#context, starting);
    return 'trial' in start ? this.#started(start) : start;
  }

  #started(start: RoutedStart): RoutedStart {
    this.#start = start;
    this.#wasEdited = start.route !== null;
    const { walk } = start;
    const isChain = walk?.mayRepeat === true && this.routed?.policy.spending != null;
    this.#chain = isChain ? new ChainSpending(() => walk.left) : null;
    return start;
  }

  /**
   * Its budgets have no room for any target of its plan.
   * @returns what its policy says that it is served by then; null: nothing, or that was tried
   */
  instead(): RoutedStart | null {
    const { routed, body } = this;
    const before = this.#start?.walk ?? null;
    const name = routed?.policy.onExceeded ?? null;
    if (name === null || routed === null || body === null || this.#isInstead) return null;
    if (before?.mayRepeat !== true) return null;
    this.#isInstead = true;
    const starting = { asked: this.#asked, routed, body, claim: this.#claim, isWhole: true };
    const start = startInstead(this.#context, starting, name);
    if (start === null) return null;
    start.walk?.follows(before.count);
    this.isLast();
    this.#started(start);
    return start;
  }

  /**
   * What may be asked at once has no price, or costs more than a request may.
   * @returns why it goes nowhere, where others of its plan only have to be waited for; else null
   */
  waitsInstead(why: Rejection): Rejection | null {
    const plan = this.#start?.plan ?? null;
    const isForGood = isOverBudget(why) || !isOfMoney(why);
    return plan === null || plan.waitMs === 0 || isForGood ? null : noTarget(plan);
  }

  /**
   * A piece behind a beginning that has left.
   * @returns why the body must not become whole, or null
   */
  faultOfRest(piece: Buffer, last: boolean, trial: Trial | null): Rejection | null {
    const fault = this.body?.faultOfRest(piece, this.#wasEdited) ?? null;
    if (fault !== null || !last || trial === null) return fault;
    return this.faultAt(trial.target.provider, trial.key);
  }

  /** The last piece of it has left. */
  ended(): void {
    this.body?.release();
    this.#isBodyWhole = true;
  }

  /** Why what the body names, as far as it was read, cannot be had there. */
  faultAt(provider: Provider, key: PoolKey): Rejection | null {
    return this.#claim?.faultAt(provider, key) ?? null;
  }

  get leavesContainers(): boolean {
    return this.#claim?.leavesContainers === true;
  }

  /**
   * @param played the model that a mock is asked for in the target's place; null: the target itself is asked
   * @returns the content as the target gets it: lent
   */
  contentFor({ target }: Trial, played: string | null): Buffer | null {
    const own = played === null ? this.#ownContent(target) : null;
    if (own !== null) return own;
    return this.body?.bytes(this.#wasEdited ? (played ?? target.model) : null) ?? null;
  }

  /** What `send` is to send: the content as it came, where the attempt goes on with what was read of it. */
  leavingFor(trial: Trial, played: string | null): Buffer | null {
    if (this.#isHandedTo(trial, played)) return this.body?.bytes(null) ?? null;
    return this.contentFor(trial, played);
  }

  /** Whether an attempt goes on with what was read of the body: it is scanned once then. */
  #isHandedTo({ target }: Trial, played: string | null): boolean {
    if (!this.#wasEdited) return true;
    if (played !== null || !this.#isBodyWhole || this.#ownContent(target) !== null) return false;
    return this.body?.mayHandOver(target.provider) === true;
  }

  /** What only this target gets; null: it gets what came, but for its model. */
  #ownContent(target: Target): Buffer | null {
    const translation = this.#start?.translation ?? null;
    if (translation === null) return null;
    return (translation.writtenFor(target) ?? translation.cleanedFor(target))?.body ?? null;
  }

  /** Null where it goes as it came. */
  #translated(target: Target): TranslatedRequest | null {
    return this.#start?.translation?.writtenFor(target) ?? null;
  }

  /** Null where it goes as it came, or is written anew. */
  #cleaned(target: Target): CleanedRequest | null {
    return this.#start?.translation?.cleanedFor(target) ?? null;
  }

  /**
   * @param content what it is to send (`leavingFor`)
   * @param number which attempt it is, from 1 on
   * @param isWhole nothing comes behind the content
   * @returns null when the request was forgotten
   */
  attemptAt(
    trial: Trial,
    played: string | null,
    content: Buffer,
    continuing: Continuing | null,
    number: number,
    isWhole: boolean,
    sink: AttemptSink,
  ): Attempt | null {
    const { routed, body } = this;
    if (routed === null || body === null) return null;
    this.#noLongerTold();
    const { identity, policy, suffix } = routed;
    const { target, key } = trial;
    const { rehearsal } = this.#context;
    const { method, fields } = this.#asked;
    // Another target's rest of an answer is asked for in the caller's wire.
    const isOwn = played !== null || continuing !== null;
    const translated = isOwn ? null : this.#translated(target);
    const anew = translated === null ? null : endpointOf(target, translated);
    const { metering, keepsState, query } = anew ?? routed;
    const lossy = isOwn ? null : (translated ?? this.#cleaned(target));
    this.lossLines = lossy === null ? '' : lossLines(lossy);
    const prefix = continuing?.prefix ?? target.provider.prefixes[0] ?? '';
    const path = anew?.path ?? pathOf(prefix, suffix);
    return new Attempt(
      played === null || rehearsal === null ? this.#context : rehearsal,
      {
        method,
        fields: translated === null ? fields : translatedFields(fields, target.provider),
        framing: body.framing(content.length, isWhole),
      },
      {
        provider: target.provider,
        dialect: routed.wishes.dialect,
        path,
        target: query === '' ? path : `${path}?${query}`,
        managed: {
          identity,
          // What is played is no model of anybody's, and costs nothing.
          policy: played === null ? policy : { ...policy, spending: null },
          permission: played === null ? policy.models : null,
          pathModel: anew?.pathModel ?? null,
          poolKey: played === null || rehearsal === null ? key : rehearsal.poolKey,
          metering,
          keepsState: keepsState && played === null,
        },
        routing: {
          requestedModel: body.model ?? '',
          route: this.#start?.route?.name ?? null,
          attempt: number,
          targetModel: target.name,
          resumed: continuing !== null,
          chain: this.#chain,
        },
      },
      translated === null ? sink : this.#translating(sink, target.model, translated),
    );
  }

  /** What hears the attempt's answer in its place, and tells it in the caller's wire. */
  #translating(sink: AttemptSink, model: string, said: TranslatedRequest): AttemptSink {
    const caller = this.#start?.translation?.caller ?? null;
    if (caller === null) return sink;
    const id = this.#said.requestId;
    const { held, metrics } = this.#context;
    const telling = new TranslatedAnswer(sink, caller, said, model, id, held, metrics);
    this.#telling = telling;
    return telling;
  }

  /** Sends its content; what cannot be asked for again is not kept behind it. */
  send(
    attempt: Attempt,
    trial: Trial,
    played: string | null,
    content: Buffer,
    isWhole: boolean,
  ): void {
    const { body } = this;
    if (body === null) return;
    if (!this.#isHandedTo(trial, played)) attempt.body(content, isWhole);
    else {
      const model = this.#wasEdited ? trial.target.model : null;
      const { scan, content: first } = body.handOver(model, trial.target.provider);
      attempt.goOnWith(scan, model, first, content.length, isWhole);
    }
    if (!isWhole || this.#start?.walk?.mayRepeat !== true) body.drop();
  }

  /** Whoever aborts an attempt is told nothing more by it. */
  #noLongerTold(): void {
    this.#telling?.drop();
    this.#telling = null;
  }

  /** What a caller asks to be played; null: nothing, or nobody may. */
  get rehearsed(): Rehearsed | null {
    return this.#start?.rehearsed ?? null;
  }

  /** What is settled of an attempt of which nothing reached the client. */
  settlementOf(outcome: Settlement['outcome'], durationMs: number): Settlement {
    return {
      ...this.#said,
      method: this.#asked.method,
      path: '',
      status: 0,
      outcome,
      rejection: null,
      eventStream: false,
      bytesIn: this.body?.keptBytes ?? 0,
      bytesOut: 0,
      ttfbMs: null,
      durationMs,
    };
  }

  /** The current attempt is the last one: what is reserved for others is given back. */
  isLast(): void {
    this.#chain?.close();
    this.#chain = null;
  }

  /** The answer is the client's: what led to it goes, but for a body of which more comes, which is read on. */
  forget(): void {
    this.#asked = LEFT;
    this.#said = UNSAID;
    this.routed = this.#start = null;
    if (this.#isBodyWhole) this.body = this.#claim = null;
  }

  /** Nothing is kept and nothing is read any more. */
  drop(): void {
    this.#noLongerTold();
    this.isLast();
    this.body?.release();
    this.body?.drop();
  }
}

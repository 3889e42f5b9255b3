import type { Buffer } from 'node:buffer';
import { type MeteredUsage, Metering } from '../meter/metering.ts';
import type { TokenRatios } from '../meter/token-ratios.ts';
import type { Cost } from '../prices/cost.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { Ticker, Ticking } from '../ticker.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';
import type { Transports, UpstreamCall, UpstreamEvents } from '../upstream/transport.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { NamedTexts } from '../wire/named-texts.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import { STATUS_OF_ANSWER } from '../wire/state-places.ts';
import { FOLLOWED_MAX, type FollowedTable } from './followed-table.ts';

/** For how long at most, in milliseconds: long research takes tens of minutes. */
const FOLLOW_MS = 4 * 3_600_000;

/** How long an answer is left alone between two looks, in milliseconds: at first, and doubled up to. */
const LOOK_FIRST_MS = 1_000;
const LOOK_MAX_MS = 30_000;

/** Between two looks that are asked for, in milliseconds. */
const LOOK_ASKED_MS = 500;

/** A look that takes longer than this, in milliseconds, is given up; the next one follows. */
const LOOK_LIMIT_MS = 60_000;

/** States behind which an answer changes no more (platform.openai.com/docs/guides/background). */
const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'incomplete', 'cancelled']);

/** One answer that is written behind its response. */
export interface BackgroundAnswer {
  readonly provider: Provider;
  readonly poolKey: PoolKey;
  readonly transports: Transports;
  /** Path of the stored response, without query. */
  readonly target: string;
  readonly owner: string;
  /** What is known of it so far: an estimate. */
  readonly fact: UsageFact;
  /** By the prices of when it was asked for. */
  readonly priced: (usage: MeteredUsage) => Cost;
  /** Of the request's body. */
  readonly requestBytes: number;
  /** Gives back, once, what it holds of its key's limits: it is in flight until it has ended. */
  readonly settled: (fact: UsageFact) => void;
}

/** What following takes, for all of a worker. */
export interface FollowingContext {
  readonly ticker: Ticker;
  readonly scanner: JsonScanner;
  readonly ratios: TokenRatios;
  readonly metrics: WorkerMetrics;
  readonly table: FollowedTable;
  /** Takes a fact that is known at last. */
  readonly told: (fact: UsageFact) => void;
}

/** The answers of a worker that are followed to their end for their bill, whether their callers look or not. */
export class BackgroundAnswers implements Ticking {
  readonly #context: FollowingContext;
  readonly #followed = new Set<Following>();

  constructor(context: FollowingContext) {
    this.#context = context;
  }

  get hasRoom(): boolean {
    return this.#followed.size < FOLLOWED_MAX;
  }

  /** @returns false when there are too many: its fact is to be told as it is */
  follow(answer: BackgroundAnswer): boolean {
    if (!this.hasRoom) {
      this.#context.metrics.followed(0, 1);
      return false;
    }
    if (this.#followed.size === 0) this.#context.ticker.add(this);
    this.#followed.add(new Following(this.#context, answer));
    this.#context.metrics.followed(1, 0);
    return true;
  }

  /**
   * Whether somebody on this node follows a stored response, who then looks at once: it must not be deleted before its bill
   * is known.
   * @param path of the response, without query
   */
  isFollowed(provider: Provider, path: string): boolean {
    const name = nameOf(provider, path);
    return name !== null && this.#context.table.ask(name);
  }

  onTick(nowMs: number): void {
    for (const following of this.#followed) {
      following.onTick(nowMs);
      if (following.isOver) this.#forget(following);
    }
  }

  /** The worker ends: each is told with what is known of it. */
  endAll(): void {
    for (const following of this.#followed) {
      following.giveUp();
      this.#forget(following);
    }
  }

  #forget(following: Following): void {
    this.#followed.delete(following);
    this.#context.metrics.followed(-1, following.hasGivenUp ? 1 : 0);
    if (this.#followed.size === 0) this.#context.ticker.remove(this);
  }
}

const RESPONSE = /\/responses\/([^/]+)\/?$/;

/** Whatever prefix it was asked for under. */
function nameOf({ name }: Provider, path: string): string | null {
  const id = RESPONSE.exec(path)?.[1];
  return id === undefined ? null : `${name} ${id}`;
}

/** One answer, looked at now and then until it has ended. */
class Following {
  readonly #context: FollowingContext;
  readonly #answer: BackgroundAnswer;
  readonly #beganMs = performance.now();
  #look: Look | null = null;
  #nextMs = performance.now() + LOOK_FIRST_MS;
  #pauseMs = LOOK_FIRST_MS;
  #seenMs = Number.NEGATIVE_INFINITY;
  readonly #slot: number;
  isOver = false;
  hasGivenUp = false;

  constructor(context: FollowingContext, answer: BackgroundAnswer) {
    this.#context = context;
    this.#answer = answer;
    const name = nameOf(answer.provider, answer.target);
    this.#slot = name === null ? -1 : context.table.enter(name);
  }

  onTick(nowMs: number): void {
    const look = this.#look;
    if (look?.isOver === true) this.#seen(look, nowMs);
    else if (look !== null && nowMs > look.beganMs + LOOK_LIMIT_MS) look.abort();
    else if (look === null && (nowMs >= this.#nextMs || this.#isAskedFor(nowMs)))
      this.#look = new Look(this.#context, this.#answer);
    if (!this.isOver && nowMs > this.#beganMs + FOLLOW_MS) this.giveUp();
  }

  #isAskedFor(nowMs: number): boolean {
    return nowMs >= this.#seenMs + LOOK_ASKED_MS && this.#context.table.wasAsked(this.#slot);
  }

  giveUp(): void {
    const look = this.#look;
    if (look?.hasEnded === true) {
      this.#tell(this.#billed(look));
      return;
    }
    look?.abort();
    this.hasGivenUp = true;
    this.#tell(this.#answer.fact);
  }

  #seen(look: Look, nowMs: number): void {
    this.#look = null;
    this.#seenMs = nowMs;
    // Deleted, or never there: nobody will say what it cost.
    if (look.isGone) this.giveUp();
    else if (look.hasEnded) this.#tell(this.#billed(look));
    else {
      this.#pauseMs = Math.min(LOOK_MAX_MS, this.#pauseMs * 2);
      this.#nextMs = nowMs + this.#pauseMs;
    }
  }

  #billed(look: Look): UsageFact {
    const { fact, requestBytes, priced } = this.#answer;
    const usage = look.usage(requestBytes);
    const model = usage.model ?? fact.model;
    return {
      ...fact,
      model,
      cost: priced({ ...usage, model }),
      counts: usage.counts,
      lines: usage.lines,
      serviceTier: usage.serviceTier,
      toolUses: usage.toolUses,
      source: usage.source,
      raw: usage.raw,
      durationMs: fact.durationMs + performance.now() - this.#beganMs,
    };
  }

  #tell(fact: UsageFact): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#context.table.leave(this.#slot);
    this.#answer.settled(fact);
    this.#context.told(fact);
  }
}

const DISCARD: PieceSink = { push: () => true };
const NOTHING: readonly Buffer[] = [];

/** One request for a stored response. */
class Look implements UpstreamEvents {
  readonly beganMs = performance.now();
  readonly #metering: Metering;
  readonly #texts: NamedTexts;
  readonly #call: UpstreamCall;
  #status = 0;
  #state: string | null = null;
  #isWhole = false;
  isOver = false;

  constructor(
    { scanner, ratios }: FollowingContext,
    { provider, poolKey, transports, target, owner }: BackgroundAnswer,
  ) {
    this.#metering = new Metering(scanner, ratios, 'answers', provider);
    this.#texts = new NamedTexts(STATUS_OF_ANSWER, {
      onText: (_place, text) => {
        this.#state = text;
      },
    });
    const request = {
      method: 'GET',
      target,
      fields: ['accept', 'application/json'],
      poolKey,
      owner,
      coding: 'none',
      contentLength: -1,
    } as const;
    this.#call = transports.of(provider).open(request, NOTHING, true, this);
  }

  /** The answer changes no more. */
  get hasEnded(): boolean {
    return this.#isWhole && this.#status === 200 && ENDED.has(this.#state ?? '');
  }

  get isGone(): boolean {
    return this.#status === 404 || this.#status === 405 || this.#status === 410;
  }

  /** Called once. */
  usage(requestBytes: number): ReturnType<Metering['finish']> {
    return this.#metering.finish(requestBytes);
  }

  /** What still comes of it is nobody's. */
  abort(): void {
    if (this.isOver) return;
    this.#call.abort();
    this.#end();
  }

  onRequestRetried(): void {}

  onUploadDrained(): void {}

  onResponseHead(status: number): void {
    if (this.isOver) return;
    this.#status = status;
    this.#metering.responseBegan(status, 'json');
  }

  onResponseChunk(chunk: Buffer, last: boolean): void {
    if (this.isOver || this.#status !== 200) return;
    this.#texts.push(chunk);
    this.#metering.response(chunk, DISCARD, last);
  }

  onResponseEnd(): void {
    if (this.isOver) return;
    this.#metering.responseEnded(DISCARD);
    this.#isWhole = true;
    this.#end();
  }

  onUpstreamFailure(_failure: UpstreamFailure): void {
    if (!this.isOver) this.#end();
  }

  #end(): void {
    this.isOver = true;
    // What is not asked for its usage gives its scan back all the same.
    if (!this.hasEnded) this.#metering.finish(0);
  }
}

import type { PoolKey } from '../providers/pool-keys.ts';
import type { Rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import { StateClaim } from '../stored/state-claim.ts';
import { failureDetail } from '../upstream/failure.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { Attempt, type AttemptEnd, type AttemptSink, type Verdict } from './attempt.ts';
import type { Asked, AttemptContext, AttemptTarget } from './attempt-terms.ts';
import { DoubtfulUpload, type UploadTaker } from './doubtful-upload.ts';
import type { Answer, Lane } from './lane.ts';

const NO_FACTS: readonly UsageFact[] = [];

/** One attempt, and nothing held in either direction. */
export class RelayLane implements Lane, AttemptSink, UploadTaker {
  readonly #target: AttemptTarget;
  readonly #answer: Answer;
  readonly #attempt: Attempt;
  /** Until the body is whole: what it names of what is stored. */
  #claim: StateClaim | null = null;
  /** While its fleet is asked of what the body names. */
  #doubtful: DoubtfulUpload | null = null;
  #key: PoolKey | null = null;
  #hasBegun = false;

  /** @param namesState the body may name what the provider has stored */
  constructor(
    context: AttemptContext,
    asked: Asked,
    target: AttemptTarget,
    namesState: boolean,
    answer: Answer,
  ) {
    this.#target = target;
    this.#answer = answer;
    this.#attempt = new Attempt(context, asked, target, this);
    const { managed, provider } = target;
    if (managed === null || !namesState) return;
    this.#key = managed.poolKey;
    this.#claim = new StateClaim(context.stored, managed.identity.tenantWords, provider);
  }

  begin(): void {
    this.#attempt.begin();
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#doubtful?.isHolding === true) {
      this.#doubtful.hold(piece, last);
      return;
    }
    const claim = this.#claim;
    if (claim !== null) {
      claim.push(piece);
      if (claim.isInDoubt) {
        this.#doubtful = new DoubtfulUpload(claim, this.#answer, this);
        if (this.#doubtful.asks(piece, last)) return;
      }
    }
    this.goOn(piece, last);
  }

  goOn(piece: Buffer, last: boolean): void {
    if (this.#claim !== null && !this.#mayGoOn(this.#claim, last)) return;
    this.#hasBegun = true;
    this.#attempt.body(piece, last);
  }

  /** What the first piece names decides whose account is asked; what comes later must be there too. */
  #mayGoOn(claim: StateClaim, last: boolean): boolean {
    const { provider } = this.#target;
    const home = claim.homes?.[0];
    if (!this.#hasBegun && home !== undefined) {
      this.#key = home.key;
      this.#attempt.useKey(home.key);
    }
    const why = this.#key === null ? claim.fault : claim.faultAt(provider, this.#key);
    if (claim.leavesContainers) this.#attempt.expectContainers();
    if (last) this.#claim = null;
    if (why === null) return true;
    this.#claim = null;
    this.#attempt.takeBack();
    this.#answer.refused(why);
    return false;
  }

  writerDrained(): void {
    this.#attempt.resume();
  }

  uploadStalled(): void {
    this.#attempt.uploadStalled();
  }

  clientLeft(): boolean {
    return this.#attempt.readOn();
  }

  abort(): void {
    this.#doubtful?.drop();
    this.#attempt.abort();
  }

  takeBack(): void {
    this.#doubtful?.drop();
    this.#attempt.takeBack();
  }

  giveBack(durationMs: number): void {
    this.#attempt.giveBack(durationMs);
  }

  account(settlement: Settlement): Account {
    const fact = this.#attempt.fact(settlement);
    return {
      provider: this.#target.provider,
      failure: this.#attempt.failure?.code ?? null,
      facts: fact === null ? NO_FACTS : [fact],
    };
  }

  // ---- the attempt -------------------------------------------------------------------------------------------------

  uploadFull(): void {
    this.#answer.uploadFull();
  }

  uploadDrained(): void {
    this.#answer.uploadDrained();
  }

  head(_attempt: Attempt, head: ResponseHead, followed: boolean): Verdict {
    this.#answer.head(head, followed);
    return 'commit';
  }

  piece(_attempt: Attempt, piece: Buffer, last: boolean): boolean {
    return this.#answer.piece(piece, last);
  }

  refused(_attempt: Attempt, why: Rejection): void {
    this.#answer.refused(why);
  }

  onBroken(_attempt: Attempt, error: unknown): void {
    this.#answer.onBroken(error);
  }

  over(_attempt: Attempt, { failure }: AttemptEnd): void {
    if (failure === null) this.#answer.answered();
    else this.#answer.failed(failure, failureDetail(failure, this.#target.provider.name));
  }
}

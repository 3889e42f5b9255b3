import type { ClientEvents, ResponseWriter } from '../edge/door.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import { usdSum } from '../prices/money.ts';
import {
  type Dialect,
  REJECTIONS,
  type Rejection,
  rejection,
  renderRejection,
} from '../rejection.ts';
import type { Settlement } from '../settle/settle.ts';
import { type Recalls, requestPage } from './recalls.ts';

type Told = Pick<Settlement, 'status' | 'outcome' | 'rejection'>;

const HEAD = '200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n';

const BUSY = rejection('overloaded', 'The ledger does not answer now.', 'retry-after: 1\r\n');

/** The rest of a request's life: what is needed of it when the ledger has answered. */
export interface Asking {
  /** The request that is asked about. */
  readonly about: string;
  readonly identity: KeyIdentity;
  readonly dialect: Dialect;
  /** The request that asks. */
  readonly requestId: string;
  readonly bodyless: boolean;
  /** Fields for a page of another origin, if it may read this. */
  readonly corsLines: string;
  /** Where it is settled, once. */
  readonly settle: (told: Told) => void;
  readonly report: (error: unknown) => void;
}

/** A caller who asks what the ledger has of one of its own requests: answered when that has been looked up, or never. */
export class RecalledRequest implements ClientEvents {
  readonly #asking: Asking;
  readonly #writer: ResponseWriter;
  #isOver = false;

  constructor(asking: Asking, writer: ResponseWriter) {
    this.#asking = asking;
    this.#writer = writer;
  }

  /** @param recalls null where there is no ledger */
  begin(recalls: Recalls | null): void {
    if (recalls === null) {
      this.#refuse(rejection('state_not_found', 'This gateway keeps no ledger.'));
      return;
    }
    const isAsked = recalls.recall(this.#asking.about, (lines) => this.#guarded(lines));
    if (!isAsked) this.#refuse(BUSY);
  }

  onBodyChunk(): void {}
  onUploadSilent(): void {}
  onUploadStalled(): void {}
  onUploadRefused(): void {}
  onWriterDrained(): void {}
  onResponseOver(): void {}

  onClientGone(): void {
    this.#end({ status: 0, outcome: 'client_gone', rejection: null });
  }

  onBroken(error: unknown): void {
    this.#asking.report(error);
    if (this.#isOver) return;
    this.#writer.destroy();
    this.#end({ status: 0, outcome: 'gateway_error', rejection: 'internal_error' });
  }

  /** A bug that one request meets ends that request. */
  #guarded(lines: readonly string[] | null): void {
    try {
      this.#told(lines);
    } catch (error) {
      this.onBroken(error);
    }
  }

  #told(lines: readonly string[] | null): void {
    if (this.#isOver) return;
    const { about, identity, requestId, bodyless, corsLines } = this.#asking;
    if (lines === null) {
      this.#refuse(BUSY);
      return;
    }
    const page = requestPage(about, lines, identity, usdSum);
    if (page === null) {
      this.#refuse(rejection('state_not_found', 'The path names it.'));
      return;
    }
    const head = `${HEAD}x-sluice-request-id: ${requestId}${corsLines}`;
    this.#writer.respond(head, page, bodyless, false);
    this.#end({ status: 200, outcome: 'complete', rejection: null });
  }

  #refuse(why: Rejection): void {
    const { dialect, requestId, bodyless, corsLines } = this.#asking;
    const { head, body, closes } = renderRejection(why, dialect, requestId);
    this.#writer.respond(head + corsLines, body, bodyless, closes);
    this.#end({ status: REJECTIONS[why.code].status, outcome: 'rejected', rejection: why.code });
  }

  #end(told: Told): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#asking.settle(told);
  }
}

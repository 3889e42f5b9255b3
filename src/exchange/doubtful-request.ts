import { Buffer } from 'node:buffer';
import type { ClientEvents, RequestBody } from '../edge/door.ts';
import type { FleetAsker } from '../stored/fleet-questions.ts';

/** What becomes of a request that waits. */
interface Doubt {
  isKnown(): boolean;
  /** It is known what it is: an exchange, or a refusal that was told. Does not throw. */
  become(): ClientEvents;
  /** Its client left before: it is settled. */
  left(): void;
  /** A bug, before anything was told. Does not throw. */
  onBroken(error: unknown): void;
}

interface Held {
  readonly piece: Buffer;
  readonly last: boolean;
}

/**
 * A request whose path names what this node has not heard of: it waits until the fleet was asked, and is from then on what
 * it turned out to be. Such requests have no body, or next to none; its client is held back if one comes.
 */
export class DoubtfulRequest implements ClientEvents, FleetAsker {
  readonly #body: RequestBody;
  readonly #doubt: Doubt;
  #held: Held[] = [];
  #became: ClientEvents | null = null;
  #isOver = false;

  constructor(body: RequestBody, doubt: Doubt) {
    this.#body = body;
    this.#doubt = doubt;
  }

  isKnown(): boolean {
    return this.#doubt.isKnown();
  }

  told(): void {
    if (this.#isOver || this.#became !== null) return;
    try {
      // First: what it becomes may hold the client back for a reason of its own.
      this.#body.resume();
      const became = this.#doubt.become();
      this.#became = became;
      for (let next = this.#held.shift(); next !== undefined; next = this.#held.shift())
        became.onBodyChunk(next.piece, next.last);
    } catch (error) {
      this.onBroken(error);
    }
  }

  onBodyChunk(chunk: Buffer, last: boolean): void {
    if (this.#became !== null) this.#became.onBodyChunk(chunk, last);
    else if (!this.#isOver) {
      this.#held.push({ piece: Buffer.from(chunk), last });
      this.#body.pause();
    }
  }

  onUploadSilent(): void {
    this.#became?.onUploadSilent();
  }

  onUploadStalled(): void {
    this.#became?.onUploadStalled();
  }

  onUploadRefused(): void {
    this.#became?.onUploadRefused();
  }

  onWriterDrained(): void {
    this.#became?.onWriterDrained();
  }

  onResponseOver(): void {
    this.#became?.onResponseOver();
  }

  onClientGone(): void {
    if (this.#became !== null) this.#became.onClientGone();
    else if (!this.#isOver) {
      this.#isOver = true;
      this.#held = [];
      this.#doubt.left();
    }
  }

  onBroken(error: unknown): void {
    if (this.#became !== null) this.#became.onBroken(error);
    else if (!this.#isOver) {
      this.#isOver = true;
      this.#doubt.onBroken(error);
    }
  }
}

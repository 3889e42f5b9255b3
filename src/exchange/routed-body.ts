import type { Buffer } from 'node:buffer';
import type { Routed } from '../admit/admission.ts';
import { asksForUsage, TWO_MODELS } from '../meter/metering.ts';
import { countsEveryModel } from '../policy/policy-table.ts';
import type { Provider } from '../providers/providers.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import { RequestScan } from '../wire/request-scan.ts';
import type { KeptBudget } from './kept-budget.ts';
import { type GatheringState, RequestGathering } from './request-gathering.ts';

const NO_JSON = rejection('invalid_body', 'It is not JSON.');
const NO_MODEL = rejection('invalid_body', 'It needs a "model" that is a text.');
const ODD_MODEL = rejection(
  'invalid_body',
  'Its "model" is longer than any name, or there too often.',
);
const TWICE = rejection('invalid_body', 'It names its model twice.');
const MODEL_TOO_LATE = rejection(
  'invalid_body',
  'Its "model" stands behind more bytes than this gateway keeps of a body: put it first.',
);
/** Other bodies fill what the node may keep or read at once: no fault of this one's. */
const NODE_FULL = rejection('overloaded', '', 'retry-after: 1\r\n');

/** What the bodies of a worker share. */
export interface BodyContext {
  readonly scanner: JsonScanner;
  readonly replay: KeptBudget;
  /** Bytes; 0 = no limit. */
  readonly replayMaxBytes: number;
}

/** The body of a routed request: what is kept of it, what is wrong with it, and how it leaves with another model. */
export class RoutedBody {
  readonly #framing: RequestFraming;
  readonly #metering: Routed['metering'];
  /** What reads it puts the option in that a stream's usage is asked for with. */
  readonly #asks: boolean;
  readonly #gathering: RequestGathering;
  readonly #maxBytes: number;

  /** Made with the first piece: only then is it known how the content is delimited. */
  constructor(
    { scanner, replay, replayMaxBytes }: BodyContext,
    framing: RequestFraming,
    { metering, provider, policy }: Pick<Routed, 'metering' | 'provider' | 'policy'>,
  ) {
    this.#framing = framing;
    this.#metering = metering;
    this.#asks = asksForUsage(metering, provider);
    this.#maxBytes = replayMaxBytes;
    // What reads it here is what meters it where it goes first.
    const scan = RequestScan.open(
      scanner,
      this.#asks,
      countsEveryModel(policy),
      policy.spending !== null,
    );
    this.#gathering = new RequestGathering(scan, replay, replayMaxBytes, framing.contentLength);
  }

  push(piece: Buffer, last: boolean): GatheringState {
    return this.#gathering.push(piece, last);
  }

  /** The last root `model` so far; null when there is none, or it is no string. */
  get model(): string | null {
    return this.#gathering.model;
  }

  get isStreamAsked(): boolean {
    return this.#gathering.isStreamAsked;
  }

  /** Bytes that are kept. */
  get keptBytes(): number {
    return this.#gathering.bytes.length;
  }

  /** Why nothing can be done with a body whose `model` did not come before it was as much as is kept. */
  get tooLate(): Rejection {
    return this.#gathering.isTooLarge ? MODEL_TOO_LATE : NODE_FULL;
  }

  /** Why it cannot be written anew for a target of another wire: not all of it is here. */
  get notWhole(): Rejection {
    if (!this.#gathering.isMoreThanKept) return NODE_FULL;
    const told = `The model asked for speaks another wire, and a body is written anew for it up to ${this.#maxBytes} bytes.`;
    return rejection('body_too_large', told);
  }

  /** @param isPlain what is not quite JSON (Python's NaN) is then for the default provider to judge, as in the relay */
  faultOf(isWhole: boolean, isPlain: boolean): Rejection | null {
    const { isRead, isJson, model, isOdd } = this.#gathering;
    if (!isRead) return NODE_FULL;
    const mayBeRead = isJson || (isPlain && model !== null && model !== '');
    if (isWhole && !mayBeRead) return NO_JSON;
    if (model === null || model === '') return NO_MODEL;
    return isOdd ? ODD_MODEL : null;
  }

  /**
   * Reads a piece of the rest, behind a beginning that has left.
   * @param wasEdited the beginning left with another model
   * @returns why it must not become whole, or null
   */
  faultOfRest(piece: Buffer, wasEdited: boolean): Rejection | null {
    const { model: asked, modelCount } = this.#gathering;
    this.#gathering.pass(piece);
    // What stood in front was edited: another one behind it, even the same, is not what the provider was to read.
    if (wasEdited && this.#gathering.modelCount > modelCount) return TWICE;
    // The last one counts, and the provider reads it: it must be the one that was planned.
    const { model } = this.#gathering;
    return asked !== null && model !== null && model !== asked ? TWO_MODELS : null;
  }

  /** Whether an attempt at a provider may go on with what was read of it, once it is whole. */
  mayHandOver(provider: Provider): boolean {
    if (this.#gathering.isHanded) return false;
    return this.#asks || !asksForUsage(this.#metering, provider);
  }

  /**
   * For an attempt at a provider that it may be handed over to.
   * @param model as `RequestGathering.handOver` has it
   */
  handOver(model: string | null, provider: Provider): ReturnType<RequestGathering['handOver']> {
    return this.#gathering.handOver(model, asksForUsage(this.#metering, provider));
  }

  /** Keeps what was lent, so that it outlives this turn. @returns false when it may not be kept */
  keep(): boolean {
    return this.#gathering.keep();
  }

  /** @param model null: as it came. @returns what is kept, with another model; no other byte is touched */
  bytes(model: string | null): Buffer {
    return model === null ? this.#gathering.bytes : this.#gathering.withModel(model);
  }

  /**
   * How it is delimited as it leaves: the model's length may have changed it.
   * @param bytes of what leaves first
   * @param isWhole nothing comes behind that
   */
  framing(bytes: number, isWhole: boolean): RequestFraming {
    const { fault, lengthMissing } = this.#framing;
    if (isWhole) return { contentLength: bytes, chunked: false, fault, lengthMissing };
    if (this.#framing.chunked) return this.#framing;
    const grown = bytes - this.#gathering.bytes.length;
    return { ...this.#framing, contentLength: this.#framing.contentLength + grown };
  }

  /** Everything that is kept goes; what was read can still be asked for. */
  drop(): void {
    this.#gathering.drop();
  }

  /** Nothing is read any more. */
  release(): void {
    this.#gathering.release();
  }
}

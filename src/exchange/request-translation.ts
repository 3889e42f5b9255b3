/** A routed request whose target speaks another wire than its caller: written anew for it. */

import type { CleanedRequest } from '../dialect/foreign-thoughts.ts';
import { type Refusal, untranslatable } from '../dialect/losses.ts';
import { makerAt } from '../dialect/seals.ts';
import type { ReadAsked, TranslatedRequest } from '../dialect/translate.ts';
import { translator } from '../dialect/translator.ts';
import { type AskedWire, type TargetWire, writtenWire } from '../dialect/wires.ts';
import type { Target } from '../plan/route-table.ts';
import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { Provider } from '../providers/providers.ts';
import type { RoutedBody } from './routed-body.ts';

/** Endpoints whose requests can be written anew, and what is written there. */
const CALLER_WIRES: ReadonlyMap<string, AskedWire> = new Map([
  ['/chat/completions', 'openai-chat'],
  ['/responses', 'openai-responses'],
  ['/messages', 'anthropic-messages'],
  ['/embeddings', 'openai-embeddings'],
]);

/**
 * @param suffix of the path, behind the prefix of the API
 * @returns null where requests go as they come
 */
export function callerWire(suffix: string): AskedWire | null {
  return CALLER_WIRES.get(suffix) ?? null;
}

/** What is asked of each target in place of what came. */
export type Translation = Pick<RequestTranslation, 'caller' | 'writtenFor' | 'cleanedFor'>;

/** One request, read once when the first target of another wire is next, and written for each. */
export class RequestTranslation {
  /** The caller's. */
  readonly caller: AskedWire;
  readonly #body: RoutedBody;
  readonly #isStrict: boolean;
  #read: ReadAsked | Refusal | null = null;
  /** For the target that was asked for last: it is asked for again when it is sent. */
  #target: Target | null = null;
  #written: TranslatedRequest | Refusal | null = null;
  /** The same of a target of the caller's own wire. */
  #cleanTarget: Target | null = null;
  #clean: CleanedRequest | null = null;
  /** Why the first target that did not suit does not; null: none was met. */
  refusal: Refusal | null = null;

  /**
   * @param body whole, and kept
   * @param isStrict a target at which something would be lost does not suit
   */
  constructor(caller: AskedWire, body: RoutedBody, isStrict: boolean) {
    this.caller = caller;
    this.#body = body;
    this.#isStrict = isStrict;
  }

  /** Whether a target can be asked: it speaks the caller's wire, or the request can be written for it. */
  suits(target: Target): boolean {
    const wire = this.#wireAt(target);
    const written =
      wire === null
        ? this.#strictly(this.cleanedFor(target), target)
        : this.#writtenFor(target, wire);
    if (written === null || 'body' in written) return true;
    this.refusal ??= written;
    return false;
  }

  /** @returns null where it goes as it came */
  writtenFor(target: Target): TranslatedRequest | null {
    const wire = this.#wireAt(target);
    if (wire === null) return null;
    const written = this.#writtenFor(target, wire);
    return 'body' in written ? written : null;
  }

  /**
   * For a target of the caller's own wire: what an earlier one of another wire left in the history goes.
   * @returns null where it goes as it came, but for its model
   */
  cleanedFor(target: Target): CleanedRequest | null {
    const { provider, model } = target;
    // Texts have no history.
    if (this.caller === 'openai-embeddings' || this.#wireAt(target) !== null) return null;
    if (this.#cleanTarget !== target) {
      const body = this.#body.bytes(null);
      const maker = makerAt(provider);
      this.#clean = translator().withoutForeignThoughts(this.caller, body, model, maker);
      this.#cleanTarget = target;
    }
    return this.#clean;
  }

  #wireAt({ provider }: Target): TargetWire | null {
    return writtenWire(this.caller, provider);
  }

  #writtenFor(target: Target, wire: TargetWire): TranslatedRequest | Refusal {
    if (this.#target === target && this.#written !== null) return this.#written;
    const read = this.#readOnce();
    this.#target = target;
    this.#written = 'writtenFor' in read ? this.#write(read, target, wire) : read;
    return this.#written;
  }

  #readOnce(): ReadAsked | Refusal {
    this.#read ??= translator().readAsked(this.caller, this.#body.bytes(null));
    return this.#read;
  }

  #write(read: ReadAsked, target: Target, wire: TargetWire): TranslatedRequest | Refusal {
    const { provider, model } = target;
    const asksForUsage = provider.streamUsage === 'ask';
    const written = read.writtenFor(wire, { provider: provider.name, model, asksForUsage });
    return 'body' in written ? this.#strictly(written, target) : written;
  }

  /** @returns a refusal where something is lost that its caller does not want to lose */
  #strictly<T extends Lossy | null>(written: T, { provider }: Target): T | Refusal {
    if (!this.#isStrict || written === null) return written;
    const lost = [...written.dropped, ...(written.adjusted ?? [])];
    if (lost.length === 0) return written;
    return untranslatable(lost.join(', '), `it would be lost on the way to ${provider.name}`);
  }
}

/** What a request lost, or has changed, on its way to a target. */
interface Lossy {
  readonly dropped: readonly string[];
  readonly adjusted?: readonly string[];
}

/** What a translated request is to its provider, where its own path would be something else. */
export function endpointOf(
  { provider: { nativeWire, prefixes }, model }: Target,
  { wire, path, query, vectors, estimatedTokens }: TranslatedRequest,
): TranslatedEndpoint {
  const ofConversation = wire === 'openai-chat' ? 'completions' : 'answers';
  const prefix = nativeWire?.wire === wire ? nativeWire.prefix : prefixes[0];
  return {
    path: (prefix ?? '') + path,
    query,
    // The body names none.
    pathModel: wire === 'gemini' ? model : null,
    metering: estimatedTokens !== null ? 'free' : vectors === null ? ofConversation : 'reports',
    keepsState: false,
  };
}

interface TranslatedEndpoint {
  readonly path: string;
  readonly query: string;
  readonly pathModel: string | null;
  readonly metering: EndpointMetering;
  readonly keepsState: boolean;
}

/** What only the caller's own vendor understands. */
const OF_A_VENDOR = /^(?:anthropic-|openai-|x-stainless-)/;

/** The API version that older models keep their settings in (docs.anthropic.com, "API versions"). */
const ANTHROPIC_VERSION = '2023-06-01';

/** @param fields flat list with lower-case names */
export function translatedFields(
  fields: readonly string[],
  { dialect }: Provider,
): readonly string[] {
  const kept = fields.filter((_, at) => {
    const name = fields[at - (at % 2)] ?? '';
    return !OF_A_VENDOR.test(name) && name !== 'content-type';
  });
  const own = dialect === 'anthropic' ? ['anthropic-version', ANTHROPIC_VERSION] : [];
  return [...kept, 'content-type', 'application/json', ...own];
}

/** Of one field that names losses. */
const LOSSES_MAX_CHARACTERS = 1_024;

/** @returns field lines, each ended by CRLF */
export function lossLines({ dropped, adjusted = [] }: Lossy): string {
  return listLine('x-sluice-dropped', dropped) + listLine('x-sluice-adjusted', adjusted);
}

function listLine(name: string, values: readonly string[]): string {
  if (values.length === 0) return '';
  // Names of tools are callers' own: commas and line ends too.
  const told = values.map((value) => value.replace(/[^\x21-\x2b\x2d-\x7e]/g, '_')).join(', ');
  return `${name}: ${told.slice(0, LOSSES_MAX_CHARACTERS)}\r\n`;
}

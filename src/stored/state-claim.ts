import type { Maker } from '../dialect/conversation.ts';
import { makerIn } from '../dialect/seals.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { type Rejection, rejection } from '../rejection.ts';
import { NamedTexts, type TextSink } from '../wire/named-texts.ts';
import { REQUEST_STATE, SEALED, TOOL_TYPE } from '../wire/state-places.ts';
import type { FleetAsker } from './fleet-questions.ts';
import type { Home, StateHomes } from './state-homes.ts';
import type { TenantWords } from './state-table.ts';

/** OpenAI's `code_interpreter` and `shell`, Anthropic's `code_execution_…`. */
const LEAVES_CONTAINERS = /^(?:code_|shell)/;

/**
 * Ids that one request may name: the largest lists that providers take have a few hundred. Each costs a hash and a look-up, and
 * a body has room for a million.
 */
export const IDS_MAX = 1_024;

const NOBODY: ReadonlySet<Maker> = new Set();

/** Whose seals stand where, behind no prefix of ours. */
const NATIVE: ReadonlyMap<string, Maker> = new Map([
  [SEALED.openai, 'openai'],
  [SEALED.anthropic, 'anthropic'],
  [SEALED.gemini, 'gemini'],
]);

/** Of an id that is told back: enough to recognise it. */
const SHOWN_CHARACTERS = 80;

/** An id that nobody here is known to have made. */
interface Doubt {
  readonly place: string;
  readonly id: string;
}

/** What one request names of what its provider has stored, looked up while its body streams by. */
export class StateClaim implements TextSink {
  readonly #state: StateHomes;
  readonly #tenant: TenantWords;
  /** The path names it, so no other one is asked; null: where it goes is still open. */
  readonly #provider: Provider | null;
  readonly #texts = new NamedTexts(REQUEST_STATE, this);
  #homes: readonly Home[] | null = null;
  #fault: Rejection | null = null;
  #count = 0;
  #doubts: Doubt[] | null = null;
  /** The fleet is asked once for a request. */
  #mayAsk: boolean;
  /** Whose models sealed what it holds, so that only the account that made it can open it: which one that was is not known. */
  sealedBy: ReadonlySet<Maker> = NOBODY;
  /** It offers a tool that leaves a container, and files in it. */
  leavesContainers = false;

  constructor(state: StateHomes, tenant: TenantWords, provider: Provider | null) {
    this.#state = state;
    this.#tenant = tenant;
    this.#provider = provider;
    this.#mayAsk = state.fleet !== null;
  }

  /** Reads the body's next piece. */
  push(piece: Buffer): void {
    this.#texts.push(piece);
  }

  /** Where everything is that was named so far; null: nothing was named, and any account will do. */
  get homes(): readonly Home[] | null {
    return this.#homes;
  }

  /** It names what this node has not heard of, and its fleet may have: `ask` before anything is decided by it. */
  get isInDoubt(): boolean {
    return this.#doubts !== null && this.#fault === null;
  }

  /** What is in doubt is known by now. */
  get isCleared(): boolean {
    return this.#doubts?.every(({ id }) => this.#found(id).length > 0) !== false;
  }

  /**
   * Asks the fleet for what is in doubt.
   * @param asker has it decided when it is told
   * @returns false when nobody can be asked: it is decided already then
   */
  ask(asker: FleetAsker): boolean {
    this.#mayAsk = false;
    if (this.#state.fleet?.ask(asker) === true) return true;
    this.decide();
    return false;
  }

  /** What was in doubt is known by now, or nobody's. */
  decide(): void {
    const doubts = this.#doubts ?? [];
    this.#doubts = null;
    for (const { place, id } of doubts) {
      const found = this.#found(id);
      if (this.#fault !== null) return;
      if (found.length > 0) this.#narrow(found);
      else this.#fault = notFound(place, id);
    }
  }

  /** Whether the request may go to this account, as far as it is known. */
  mayGoTo(provider: Provider, key: PoolKey): boolean {
    return this.#homes === null || this.#homes.some((home) => isHome(home, provider, key));
  }

  /** Why the request may go nowhere, as far as it is known; null when it may. */
  get fault(): Rejection | null {
    return this.#fault;
  }

  /** Why it may not go where it goes; null when it may. */
  faultAt(provider: Provider, key: PoolKey): Rejection | null {
    return this.#fault ?? (this.mayGoTo(provider, key) ? null : STATE_ELSEWHERE);
  }

  onText(place: string, text: string | null, beginning: string): void {
    const native = NATIVE.get(place);
    if (native !== undefined) {
      if (text !== '') this.#sealed(makerIn(native, text ?? beginning));
      return;
    }
    if (place === TOOL_TYPE) {
      if (text !== null && LEAVES_CONTAINERS.test(text)) this.leavesContainers = true;
      return;
    }
    // Nobody's id: providers take it for none.
    if (text === '' || this.#fault !== null) return;
    if (++this.#count > IDS_MAX) {
      this.#fault = TOO_MANY;
      return;
    }
    const found = text === null ? [] : this.#found(text);
    if (found.length > 0) this.#narrow(found);
    else if (text === null) this.#fault = notFound(place, text);
    else if (this.#state.allows(text, this.#tenant)) return;
    else if (this.#mayAsk) {
      this.#doubts ??= [];
      this.#doubts.push({ place, id: text });
    } else this.#fault = notFound(place, text);
  }

  #narrow(found: readonly Home[]): void {
    if (this.#homes === null) {
      this.#homes = found;
      return;
    }
    const both = this.#homes.filter(({ provider, key }) =>
      found.some((home) => isHome(home, provider, key)),
    );
    if (both.length === 0) this.#fault = APART;
    else this.#homes = both;
  }

  #sealed(maker: Maker): void {
    if (!this.sealedBy.has(maker)) this.sealedBy = new Set([...this.sealedBy, maker]);
  }

  #found(id: string): readonly Home[] {
    const found = this.#state.find(id, this.#tenant);
    const only = this.#provider;
    return only === null ? found : found.filter(({ provider }) => provider.index === only.index);
  }
}

/** Of an id of nobody, or of somebody else: nobody may tell the two apart. @param place where it stands */
export function notFound(place: string, id: string | null): Rejection {
  const shown = id === null ? 'An id longer than any' : `"${id.slice(0, SHOWN_CHARACTERS)}"`;
  return rejection('state_not_found', `${shown} is named in ${place}.`);
}

const TOO_MANY = rejection(
  'invalid_body',
  `It names more than ${IDS_MAX} of what is stored at its provider.`,
);
const APART = rejection('state_elsewhere', 'What the request names is at more than one.');
export const STATE_ELSEWHERE = rejection(
  'state_elsewhere',
  'The request goes to another one than what it names is at: ask for a model of that provider, and name it in front of what is large.',
);

function isHome(home: Home, provider: Provider, key: PoolKey): boolean {
  return home.provider.index === provider.index && home.key === key;
}

import {
  type CallPart,
  type Conversation,
  isMedia,
  type MediaPart,
  type Part,
  type ResultPart,
  type Turn,
} from '../conversation.ts';
import { inlineText } from '../data-url.ts';
import type { GeminiTraits } from '../gemini-models.ts';
import { parsedObject } from '../json-values.ts';
import { misplaced } from '../losses.ts';
import type { ToolNames } from '../wire-names.ts';
import type { FunctionResponse, GeminiContent, GeminiPart } from './shapes.ts';

/** Stands where a call's signature is lost: another maker's model made it (ai.google.dev/gemini-api/docs/thought-signatures). */
const UNSIGNED = 'skip_thought_signature_validator';

/** What a URL's last letters say: Google asks for the type of what it fetches. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['png', 'image/png'],
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['webp', 'image/webp'],
  ['heic', 'image/heic'],
  ['heif', 'image/heif'],
  ['gif', 'image/gif'],
  ['pdf', 'application/pdf'],
]);
const EXTENSION = /\.([a-z0-9]{2,5})(?:[?#]|$)/i;

/** The call that a result answers: by its id, since Gemini matches them by name and place. */
interface Called {
  readonly name: string;
  readonly ordinal: number;
}

/** A user's content while it is gathered. */
interface UserContent {
  readonly results: { readonly ordinal: number; readonly part: GeminiPart }[];
  readonly rest: GeminiPart[];
}

/**
 * The same history gives the same bytes: a later instruction stands as text in the turn where it stood, so that what was
 * cached in front of it stays so.
 */
export function writeContents(
  { turns }: Conversation,
  traits: GeminiTraits,
  names: ToolNames,
): { readonly system: GeminiPart[]; readonly contents: GeminiContent[] } {
  const first = turns.findIndex(({ role }) => role !== 'system');
  const opening = first < 0 ? turns : turns.slice(0, first);
  const writer = new ContentsWriter(traits, names);
  for (const turn of turns.slice(opening.length)) writer.turn(turn);
  return { system: opening.flatMap(textsOf), contents: writer.ended() };
}

/** Neighbours of one role are one content; one without parts is refused, and left out. */
class ContentsWriter {
  readonly #traits: GeminiTraits;
  readonly #names: ToolNames;
  readonly #contents: GeminiContent[] = [];
  readonly #calls = new Map<string, Called>();
  #callCount = 0;
  #user: UserContent = { results: [], rest: [] };

  constructor(traits: GeminiTraits, names: ToolNames) {
    this.#traits = traits;
    this.#names = names;
  }

  turn(turn: Turn): void {
    if (turn.role === 'assistant') this.#modelTurn(turn);
    else if (turn.role === 'system') this.#user.rest.push(...textsOf(turn));
    else for (const part of turn.parts) this.#userPart(part);
  }

  ended(): GeminiContent[] {
    this.#endUser();
    return this.#contents;
  }

  #modelTurn({ parts }: Turn): void {
    const written = this.#modelParts(parts);
    if (written.length === 0) return;
    this.#endUser();
    const last = this.#contents.at(-1);
    if (last?.role === 'model') last.parts.push(...written);
    else this.#contents.push({ role: 'model', parts: written });
  }

  /** Results first and in the order of their calls. */
  #endUser(): void {
    const { results, rest } = this.#user;
    this.#user = { results: [], rest: [] };
    results.sort((one, other) => one.ordinal - other.ordinal);
    const parts = [...results.map(({ part }) => part), ...rest];
    if (parts.length > 0) this.#contents.push({ role: 'user', parts });
  }

  #userPart(part: Part): void {
    switch (part.kind) {
      case 'text':
        if (part.text !== '') this.#user.rest.push({ text: part.text });
        return;
      case 'image':
      case 'document':
      case 'audio':
        this.#user.rest.push(media(part));
        return;
      case 'result':
        this.#result(part);
    }
  }

  #result({ id, parts, isError }: ResultPart): void {
    const called = this.#calls.get(id);
    const beside = parts.flatMap((part) => (part.kind === 'text' ? [] : [media(part)]));
    const shown = beside.filter(({ text }) => text === undefined);
    const texts = [
      ...parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])),
      ...beside.flatMap(({ text }) => (text === undefined ? [] : [text])),
    ];
    const isInside = this.#traits.isThird && shown.length > 0;
    if (!isInside) this.#user.rest.push(...shown);
    const isBare = texts.length === 0 && shown.length > 0 && !isInside;
    const text = isBare ? 'Its content follows.' : texts.join('\n');
    const functionResponse: FunctionResponse = {
      name: this.#names.given(called?.name ?? id),
      response: isError ? { error: text } : { output: text },
      ...(isInside ? { parts: shown.map(inside) } : {}),
    };
    this.#user.results.push({ ordinal: called?.ordinal ?? 0, part: { functionResponse } });
  }

  /** A seal belongs to the part behind it; the last one may have none, and is a part of its own then. */
  #modelParts(parts: readonly Part[]): GeminiPart[] {
    const written: GeminiPart[] = [];
    let seal: string | null = null;
    let hasCalled = false;
    for (const part of parts) {
      if (part.kind === 'thought' || part.kind === 'redacted') {
        if (part.seal?.maker !== 'gemini') continue;
        if (seal !== null) written.push({ text: '', thoughtSignature: seal });
        seal = part.seal.data;
        continue;
      }
      const told = this.#modelPart(part);
      if (told === null) continue;
      const isUnsigned = part.kind === 'call' && !hasCalled && this.#traits.isThird;
      const signature: string | null = seal ?? (isUnsigned ? UNSIGNED : null);
      hasCalled ||= part.kind === 'call';
      written.push(signature === null ? told : { ...told, thoughtSignature: signature });
      seal = null;
    }
    if (seal !== null) written.push({ text: '', thoughtSignature: seal });
    return written;
  }

  #modelPart(part: Exclude<Part, { kind: 'thought' | 'redacted' }>): GeminiPart | null {
    switch (part.kind) {
      case 'text':
        return part.text === '' ? null : { text: part.text };
      case 'call':
        return this.#call(part);
      case 'result':
        return null;
      default:
        return media(part);
    }
  }

  #call({ id, name, input }: CallPart): GeminiPart {
    this.#calls.set(id, { name, ordinal: this.#callCount++ });
    // What is no object is what a cut answer left: better no arguments than no conversation.
    return { functionCall: { name: this.#names.given(name), args: { ...parsedObject(input) } } };
  }
}

/** Of an instruction. */
function textsOf({ parts }: Turn): GeminiPart[] {
  for (const part of parts) if (isMedia(part)) throw misplaced(part, 'system');
  return parts.flatMap((part) =>
    part.kind === 'text' && part.text !== '' ? [{ text: part.text }] : [],
  );
}

/** Texts as text, and everything else by its type: what a model does not take, its provider refuses and says so better. */
function media(part: MediaPart): GeminiPart {
  if (part.kind === 'audio')
    return { inlineData: { mimeType: `audio/${part.format}`, data: part.base64 } };
  const { media: told } = part;
  if (told.from === 'text') return { text: told.text };
  if (told.from === 'inline') {
    if (told.type.startsWith('text/')) return { text: inlineText(told) };
    return { inlineData: { mimeType: told.type, data: told.base64 } };
  }
  const type = TYPES.get(EXTENSION.exec(told.url)?.[1]?.toLowerCase() ?? '');
  return { fileData: { ...(type === undefined ? {} : { mimeType: type }), fileUri: told.url } };
}

function inside({ inlineData, fileData }: GeminiPart): NonNullable<FunctionResponse['parts']>[0] {
  return {
    ...(inlineData === undefined ? {} : { inlineData }),
    ...(fileData === undefined ? {} : { fileData }),
  };
}

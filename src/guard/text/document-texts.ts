/**
 * The texts of a request or of a whole answer, on whichever wire: what an API's own words are is known by the names of its
 * members, and everything else is somebody's text. So a field that a vendor adds tomorrow is guarded before anybody has heard of
 * it; what has to be listed is only what must not be changed, and what cannot be read.
 *
 * Sources: the vendors' references of the requests and answers named in `wire/first-content.ts`, and recorded traffic.
 */

import type { Buffer } from 'node:buffer';
import type { RunKind } from '../guard.ts';
import {
  decodedText,
  type JsonMember,
  type JsonNode,
  type JsonObject,
  type JsonScalar,
  type JsonText,
  memberOf,
  textMember,
} from './json-tree.ts';

/** A text that a guard may read, and change. */
export interface TextAt {
  readonly kind: RunKind;
  /** Its bytes: between its quotes, where it has some. */
  readonly at: { readonly from: number; readonly to: number };
  readonly text: string;
  /** It is JSON itself: a call's arguments, as OpenAI's wires have them. */
  readonly isSource: boolean;
  /** A number: what stands in its place needs quotes. */
  readonly isBare: boolean;
}

/** How what stands somewhere is to be taken. */
type Place =
  /** Names are an API's: some of them say what is text and what is not. */
  | 'wire'
  /** The same of a description of a tool, or of an answer's shape: more of it is no text. */
  | 'schema'
  /** Whatever its names are, all of it is somebody's text: arguments, a tool's result. */
  | 'free';

/** Words of an API, and what only a provider can read: to change one is to break the request, and none is anybody's text. */
const PASSED: ReadonlySet<string> = new Set([
  ...['model', 'models', 'role', 'type', 'object', 'id', 'status', 'phase', 'event'],
  ...['finish_reason', 'stop_reason', 'finishReason', 'done_reason', 'native_finish_reason'],
  ...['system_fingerprint', 'service_tier', 'modelVersion', 'model_version', 'provider'],
  ...['media_type', 'mimeType', 'mime_type', 'format', 'detail', 'effort', 'encoding_format'],
  ...['signature', 'encrypted_content', 'thoughtSignature', 'thought_signature', 'encrypted_index'],
  ...['obfuscation', 'embedding', 'created_at', 'createTime', 'cache_control', 'quality', 'size'],
]);

/** The same within a description of a tool, or of a shape: its names, and what an answer is to be held to. */
const PASSED_OF_SCHEMAS: ReadonlySet<string> = new Set([
  ...['name', 'enum', 'const', 'required', 'pattern', '$ref', '$schema', '$id', 'syntax'],
]);

/** Reports of the provider's on its own work: no text in them is the model's. */
const REPORTS: ReadonlySet<string> = new Set([
  ...['usage', 'usageMetadata', 'x_groq', 'prompt_filter_results', 'content_filter_results'],
  ...['content_filter_offsets', 'safetyRatings', 'iterations', 'billed_units'],
]);

const SCHEMAS: ReadonlySet<string> = new Set([
  ...['tools', 'functions', 'response_format', 'output_format', 'output_config', 'toolConfig'],
  ...['tool_choice', 'generationConfig', 'generation_config', 'format'],
]);

/** Whole files in a text: whatever is in them, no guard reads it. */
const MEDIA: ReadonlySet<string> = new Set(['file_data', 'b64_json', 'partial_image_b64']);
const MEDIA_HOLDERS: ReadonlySet<string> = new Set([
  ...['inlineData', 'inline_data', 'input_audio', 'audio'],
]);

const KIND_OF_ROLE: ReadonlyMap<string, RunKind> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'prompt'],
  ['assistant', 'text'],
  ['model', 'text'],
  ['tool', 'tool_result'],
  ['function', 'tool_result'],
]);

const KIND_OF_TYPE: ReadonlyMap<string, RunKind> = new Map([
  ['thinking', 'reasoning'],
  ['reasoning', 'reasoning'],
  ['refusal', 'refusal'],
  ['document', 'document'],
  ['search_result', 'document'],
  ['input_file', 'document'],
  ['file', 'document'],
]);

const RESULT = /(?:_result|_output|_tool_result_error)$/;
const CALL = /(?:^|_)(?:tool_use|call)$/;

const KIND_OF_NAME: ReadonlyMap<string, RunKind> = new Map([
  ['system', 'system'],
  ['instructions', 'system'],
  ['systemInstruction', 'system'],
  ['system_instruction', 'system'],
  ['reasoning', 'reasoning'],
  ['reasoning_content', 'reasoning'],
  ['reasoning_details', 'reasoning'],
  ['thinking', 'reasoning'],
  ['refusal', 'refusal'],
  ['documents', 'document'],
  ['tool_results', 'tool_result'],
]);

/** A call's arguments as JSON in a text, and as an object. */
const SOURCES: ReadonlySet<string> = new Set(['arguments', 'partial_json']);
const ARGUMENTS: ReadonlySet<string> = new Set(['arguments', 'args', 'input', 'parameters']);
const CALL_HOLDERS: ReadonlySet<string> = new Set([
  ...['functionCall', 'function_call', 'tool_calls', 'function'],
]);
const RESULT_HOLDERS: ReadonlySet<string> = new Set(['functionResponse', 'function_response']);

/** A shorter number is nobody's card, account or telephone. */
const NUMBER_MIN_BYTES = 7;
/** Of an opaque text, in bytes: what an id never has, and a smuggled message might. */
const OPAQUE_MAX_BYTES = 512;
/** What a seal never fails to be. */
const SEALS = /signature|encrypted|Signature|embedding/;

export class DocumentTexts {
  readonly texts: TextAt[] = [];
  /** Bytes of what is somebody's and cannot be read: files in base64, and words of an API that are longer than such words are. */
  unscannedBytes = 0;
  /** A text's escapes are none: nothing of the document is to be trusted. */
  isBroken = false;
  readonly #bytes: Buffer;
  /** What somebody else reads of it. */
  readonly #taken: ReadonlySet<JsonNode>;

  constructor(bytes: Buffer, taken: ReadonlySet<JsonNode> = NONE) {
    this.#bytes = bytes;
    this.#taken = taken;
  }

  /** @param kind what a text is that nothing says more of */
  read(root: JsonNode, kind: RunKind, place: Place = 'wire'): void {
    this.#node(root, '', kind, place, null);
  }

  #node(
    node: JsonNode,
    name: string,
    kind: RunKind,
    place: Place,
    parent: JsonObject | null,
  ): void {
    if (this.#taken.has(node)) return;
    switch (node.kind) {
      case 'text':
        this.#text(node, name, kind, place, parent);
        return;
      case 'list':
        for (const item of node.items) this.#node(item, name, kind, place, parent);
        return;
      case 'object':
        this.#object(node, name, kind, place);
        return;
      default:
        if (place === 'free') this.#number(node, kind);
    }
  }

  #text(at: JsonText, name: string, kind: RunKind, place: Place, parent: JsonObject | null): void {
    const length = at.to - at.from;
    if (length === 0) return;
    if (place !== 'free') {
      if (isPassed(name, place)) {
        if (length > OPAQUE_MAX_BYTES && !SEALS.test(name)) this.unscannedBytes += length;
        return;
      }
      if (this.#isMedia(at, name, parent)) {
        this.unscannedBytes += length;
        return;
      }
    }
    this.take(at, kind, place !== 'free' && kind === 'tool_args' && SOURCES.has(name));
  }

  #number({ from, to }: JsonScalar, kind: RunKind): void {
    if (to - from < NUMBER_MIN_BYTES) return;
    const text = this.#bytes.toString('latin1', from, to);
    this.texts.push({ kind, at: { from, to }, text, isSource: false, isBare: true });
  }

  /** A text that is known to be one. */
  take(at: JsonText, kind: RunKind, isSource: boolean): void {
    const text = decodedText(this.#bytes, at);
    if (text === null) this.isBroken = true;
    else this.texts.push({ kind, at, text, isSource, isBare: false });
  }

  #isMedia({ from, to }: JsonText, name: string, parent: JsonObject | null): boolean {
    if (MEDIA.has(name) || name === 'images') return true;
    if (name === 'result')
      return textMember(this.#bytes, parent, 'type') === 'image_generation_call';
    if (name === 'data') return parent !== null && this.#holdsMedia(parent);
    const isAddress = name === 'url' || name === 'image_url' || name === 'file_url';
    return isAddress && this.#bytes.toString('latin1', from, Math.min(to, from + 5)) === 'data:';
  }

  /** Anthropic's plain documents stand where its pictures do, and are text (docs.claude.com, "PDF support", "Citations"). */
  #holdsMedia(parent: JsonObject): boolean {
    const type = textMember(this.#bytes, parent, 'type');
    if (type === 'text') return false;
    return type === 'base64' || MEDIA_NAMES.some((one) => memberOf(parent, one) !== null);
  }

  #object(node: JsonObject, name: string, kind: RunKind, place: Place): void {
    if (place === 'free') {
      this.#free(node, kind);
      return;
    }
    const own = this.#kindOf(node, name, kind);
    const isCall = CALL_HOLDERS.has(name) || CALL.test(textMember(this.#bytes, node, 'type'));
    // What the provider sealed of a thought: nobody can read it, and to change it is to break it.
    const isSealed = textMember(this.#bytes, node, 'type') === 'redacted_thinking';
    for (const member of node.members) {
      if (isSealed && member.name === 'data') continue;
      this.#member(member, node, name, own, place, isCall);
    }
  }

  #member(
    { name, value }: JsonMember,
    parent: JsonObject,
    parentName: string,
    kind: RunKind,
    place: Place,
    isCall: boolean,
  ): void {
    if (REPORTS.has(name)) return;
    if (name === 'logprobs' || name === 'logprobsResult') {
      // The answer's words once more, one by one: no guard could tell where they end.
      if (value.kind === 'object') this.unscannedBytes += this.#bytesOf(value);
      return;
    }
    if (place === 'wire' && isCall && ARGUMENTS.has(name)) {
      if (value.kind === 'text') this.#node(value, name, 'tool_args', 'wire', parent);
      else this.#node(value, name, 'tool_args', 'free', parent);
      return;
    }
    if (RESULT_HOLDERS.has(parentName) && name === 'response') {
      this.#node(value, name, 'tool_result', 'free', parent);
      return;
    }
    if (name === 'data' && MEDIA_HOLDERS.has(parentName) && value.kind === 'text') {
      this.unscannedBytes += value.to - value.from;
      return;
    }
    const within = place === 'schema' || SCHEMAS.has(name) ? 'schema' : 'wire';
    const isTold = within === 'schema' ? 'system' : (KIND_OF_NAME.get(name) ?? kind);
    this.#node(value, name, isTold, value.kind === 'text' ? place : within, parent);
  }

  #kindOf(node: JsonObject, name: string, kind: RunKind): RunKind {
    const type = textMember(this.#bytes, node, 'type');
    if (RESULT.test(type) || RESULT_HOLDERS.has(name)) return 'tool_result';
    const byRole = KIND_OF_ROLE.get(textMember(this.#bytes, node, 'role'));
    if (byRole !== undefined) return byRole;
    const thought = memberOf(node, 'thought');
    if (thought?.kind === 'scalar' && this.#bytes[thought.from] === LETTER_T) return 'reasoning';
    const isCall = CALL_HOLDERS.has(name) || CALL.test(type);
    return KIND_OF_TYPE.get(type) ?? (isCall ? 'tool_args' : kind);
  }

  /** Its names are somebody's text too. */
  #free({ members }: JsonObject, kind: RunKind): void {
    for (const { nameAt, name, value } of members) {
      if (name !== '')
        this.texts.push({ kind, at: nameAt, text: name, isSource: false, isBare: false });
      this.#node(value, '', kind, 'free', null);
    }
  }

  #bytesOf(node: JsonNode): number {
    if (node.kind === 'text') return node.to - node.from;
    if (node.kind === 'list') return node.items.reduce((sum, item) => sum + this.#bytesOf(item), 0);
    if (node.kind === 'scalar') return 0;
    return node.members.reduce((sum, { value }) => sum + this.#bytesOf(value), 0);
  }
}

const NONE: ReadonlySet<JsonNode> = new Set();
const MEDIA_NAMES = ['media_type', 'mimeType', 'mime_type'];
const LETTER_T = 0x74;

function isPassed(name: string, place: Place): boolean {
  if (PASSED.has(name) || name.endsWith('_id') || name.endsWith('Id') || name.endsWith('_ids'))
    return true;
  return place === 'schema' && PASSED_OF_SCHEMAS.has(name);
}

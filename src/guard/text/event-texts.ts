/**
 * The texts of one event of an answer's stream: which of them go on in later events, and which end with it. Whose event it is is
 * told by its shape, not by a path: a provider's own wire and OpenAI's stand under the same names at many vendors.
 *
 * Sources: as `wire/first-content.ts`; github.com/ollama/ollama/blob/main/docs/api.md; docs.cohere.com/v2/docs/streaming.
 */

import type { Buffer } from 'node:buffer';
import type { RunKind } from '../guard.ts';
import { DocumentTexts, type TextAt } from './document-texts.ts';
import {
  itemsMember,
  type JsonNode,
  type JsonObject,
  memberOf,
  numberMember,
  textMember,
} from './json-tree.ts';

/** A part of a text that goes on in another event. */
export interface TextPart extends TextAt {
  /** Which run it is a part of: the same in every event. */
  readonly run: string;
}

export interface EventTexts {
  readonly parts: readonly TextPart[];
  /** Whole by themselves. */
  readonly texts: readonly TextAt[];
  readonly unscannedBytes: number;
  /** Runs whose names begin so have ended before this event. */
  readonly endsBefore: string | null;
  /** The same of those that end with it: of several choices each by itself. */
  readonly endsBehind: readonly string[];
}

/** @returns null where a text's escapes are none */
export function eventTexts(bytes: Buffer, root: JsonNode): EventTexts | null {
  const reader = new EventReader(bytes);
  if (root.kind === 'object') reader.read(root);
  return reader.texts(root);
}

/** Every run. */
const ALL = '';

/** Members of a chat delta that are no text that goes on: the role, which is told once, and what holds such text itself. */
const CHAT_TEXTS: ReadonlyMap<string, RunKind> = new Map([
  ['content', 'text'],
  ['refusal', 'refusal'],
  ['reasoning_content', 'reasoning'],
  ['reasoning', 'reasoning'],
  ['thinking', 'reasoning'],
]);

/** Of the Responses wire: how the event of a part is called that goes on, and whose text it is. */
const RESPONSES_KIND: readonly (readonly [RegExp, RunKind])[] = [
  [/arguments|_input|_code/, 'tool_args'],
  [/reasoning/, 'reasoning'],
  [/refusal/, 'refusal'],
];
const RESPONSES_DELTA = '.delta';
const RESPONSES_OVER = /^response\.(?:completed|incomplete|failed|output_item\.done)$|^error$/;

/** Anthropic's deltas: the member that holds the text, and whose it is. */
const BLOCK_TEXTS: ReadonlyMap<string, readonly [member: string, kind: RunKind]> = new Map([
  ['text_delta', ['text', 'text']],
  ['thinking_delta', ['thinking', 'reasoning']],
  ['input_json_delta', ['partial_json', 'tool_args']],
  ['compaction_delta', ['content', 'text']],
]);
/** Whole by themselves, or no text. */
const OTHER_DELTAS: ReadonlySet<string> = new Set(['signature_delta', 'citations_delta']);
const BLOCK_MEMBERS: readonly (readonly [member: string, kind: RunKind])[] = [
  ['text', 'text'],
  ['thinking', 'reasoning'],
];
const MESSAGES_EVENTS: ReadonlySet<string> = new Set([
  ...['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop'],
  ...['message_delta', 'message_stop', 'ping', 'error'],
]);
const COHERE_EVENT =
  /^(?:message-(?:start|end)|content-(?:start|delta|end)|tool-(?:plan-delta|call-start|call-delta|call-end)|citation-(?:start|end)|text-generation|stream-(?:start|end)|tool-calls-(?:chunk|generation)|search-.*|citation-generation)$/;

class EventReader {
  readonly #bytes: Buffer;
  readonly #parts: TextPart[] = [];
  readonly #taken = new Set<JsonNode>();
  /** Where texts go on that this house has not heard of. */
  readonly #unknown: JsonNode[] = [];
  #endsBefore: string | null = null;
  readonly #endsBehind: string[] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(root: JsonObject): void {
    const type = textMember(this.#bytes, root, 'type');
    const choices = memberOf(root, 'choices');
    if (choices?.kind === 'list') this.#chat(choices.items);
    else if (memberOf(root, 'candidates')?.kind === 'list') this.#gemini(root);
    else if (type.startsWith('response.')) this.#responses(root, type);
    else if (MESSAGES_EVENTS.has(type)) this.#messages(root, type);
    else if (COHERE_EVENT.test(type)) this.#cohere(root, type);
    else if (memberOf(root, 'done') !== null) this.#ollama(root);
    else if (!isReport(root)) this.#unknown.push(root);
  }

  texts(root: JsonNode): EventTexts | null {
    if (root.kind !== 'object') this.#unknown.push(root);
    const document = new DocumentTexts(this.#bytes, this.#taken);
    document.read(root, 'text');
    if (document.isBroken || this.#isBroken) return null;
    let { unscannedBytes } = document;
    for (const node of this.#unknown) unscannedBytes += this.#textBytes(node);
    return {
      parts: this.#parts,
      texts: document.texts,
      unscannedBytes,
      endsBefore: this.#endsBefore,
      endsBehind: this.#endsBehind,
    };
  }

  #isBroken = false;

  /** Of what a guard would look at there, in bytes. */
  #textBytes(node: JsonNode): number {
    const unknown = new DocumentTexts(this.#bytes);
    unknown.read(node, 'text');
    return unknown.texts.reduce((sum, { at }) => sum + at.to - at.from, 0);
  }

  /** @param node passed over where it is no text, or an empty one */
  #part(run: string, kind: RunKind, node: JsonNode | null, isSource = false): void {
    if (node?.kind !== 'text') return;
    this.#taken.add(node);
    if (node.to === node.from) return;
    const document = new DocumentTexts(this.#bytes);
    document.take(node, kind, isSource);
    const [text] = document.texts;
    if (text === undefined) this.#isBroken = true;
    else this.#parts.push({ ...text, run });
  }

  // ---- OpenAI chat and completions ---------------------------------------------------------------------------------

  #chat(choices: readonly JsonNode[]): void {
    for (const choice of choices) {
      if (choice.kind !== 'object') continue;
      const run = `c${numberMember(this.#bytes, choice, 'index')}.`;
      this.#part(`${run}text`, 'text', memberOf(choice, 'text'));
      const delta = memberOf(choice, 'delta');
      if (delta?.kind === 'object') this.#chatDelta(run, delta);
      if (textMember(this.#bytes, choice, 'finish_reason') !== '') this.#endsBehind.push(run);
    }
  }

  #chatDelta(run: string, delta: JsonObject): void {
    for (const { name, value } of delta.members) {
      const kind = CHAT_TEXTS.get(name);
      if (kind !== undefined) this.#chatText(run + name, kind, value);
      else if (name === 'tool_calls' && value.kind === 'list')
        for (const call of value.items) this.#chatCall(run, call);
      else if (name === 'function_call')
        this.#part(`${run}call`, 'tool_args', memberOf(value, 'arguments'), true);
      else if (name === 'reasoning_details' && value.kind === 'list')
        for (const detail of value.items) this.#reasoningDetail(run, detail);
      else if (name === 'audio') this.#part(`${run}audio`, 'text', memberOf(value, 'transcript'));
      else if (!KNOWN_OF_DELTA.has(name) && value.kind !== 'scalar') this.#unknown.push(value);
    }
  }

  /** Mistral's text may be a list of parts, and its thoughts a list within one (docs.mistral.ai, "Reasoning"). */
  #chatText(run: string, kind: RunKind, value: JsonNode): void {
    if (value.kind !== 'list') {
      this.#part(run, kind, value);
      return;
    }
    for (const part of value.items) {
      this.#part(run, kind, memberOf(part, 'text'));
      for (const thought of itemsMember(part, 'thinking'))
        this.#part(`${run}.thinking`, 'reasoning', memberOf(thought, 'text'));
      this.#part(`${run}.thinking`, 'reasoning', memberOf(part, 'thinking'));
    }
  }

  #chatCall(run: string, call: JsonNode): void {
    const own = `${run}call${numberMember(this.#bytes, call, 'index')}`;
    this.#part(own, 'tool_args', memberOf(memberOf(call, 'function'), 'arguments'), true);
    this.#part(own, 'tool_args', memberOf(memberOf(call, 'custom'), 'input'));
  }

  #reasoningDetail(run: string, detail: JsonNode): void {
    const own = `${run}detail${numberMember(this.#bytes, detail, 'index')}`;
    this.#part(`${own}.text`, 'reasoning', memberOf(detail, 'text'));
    this.#part(`${own}.summary`, 'reasoning', memberOf(detail, 'summary'));
  }

  // ---- OpenAI responses --------------------------------------------------------------------------------------------

  #responses(root: JsonObject, type: string): void {
    const at = ['output_index', 'content_index', 'summary_index']
      .map((name) => numberMember(this.#bytes, root, name))
      .join('.');
    if (type.endsWith(RESPONSES_DELTA)) {
      const name = type.slice(0, -RESPONSES_DELTA.length);
      // Sound, in base64.
      const delta = memberOf(root, 'delta');
      if (name === 'response.audio') {
        if (delta === null) return;
        this.#taken.add(delta);
        this.#unknown.push(delta);
        return;
      }
      const kind = RESPONSES_KIND.find(([pattern]) => pattern.test(name))?.[1] ?? 'text';
      const isSource = name.endsWith('arguments');
      if (delta?.kind === 'text') this.#part(`${at}@${name}`, kind, delta, isSource);
      else if (delta?.kind === 'object') this.#part(`${at}@${name}`, kind, memberOf(delta, 'text'));
    } else if (RESPONSES_OVER.test(type)) this.#endsBefore = ALL;
    else if (type.endsWith('.done')) this.#endsBefore = `${at}@${type.slice(0, -'.done'.length)}`;
  }

  // ---- Anthropic messages ------------------------------------------------------------------------------------------

  #messages(root: JsonObject, type: string): void {
    const run = `b${numberMember(this.#bytes, root, 'index')}.`;
    if (type === 'content_block_stop') this.#endsBefore = run;
    else if (type === 'message_delta' || type === 'message_stop' || type === 'error')
      this.#endsBefore = ALL;
    else if (type === 'content_block_start') {
      const block = memberOf(root, 'content_block');
      for (const [member, kind] of BLOCK_MEMBERS)
        this.#part(run + member, kind, memberOf(block, member));
    } else if (type === 'content_block_delta') {
      const delta = memberOf(root, 'delta');
      const deltaType = textMember(this.#bytes, delta, 'type');
      const known = BLOCK_TEXTS.get(deltaType);
      if (known === undefined) {
        if (delta !== null && !OTHER_DELTAS.has(deltaType)) this.#unknown.push(delta);
        return;
      }
      const [member, kind] = known;
      this.#part(run + member, kind, memberOf(delta, member), kind === 'tool_args');
    }
  }

  // ---- Gemini ------------------------------------------------------------------------------------------------------

  #gemini(root: JsonObject): void {
    for (const candidate of itemsMember(root, 'candidates')) {
      const run = `g${numberMember(this.#bytes, candidate, 'index')}.`;
      for (const part of itemsMember(memberOf(candidate, 'content'), 'parts')) {
        const thought = memberOf(part, 'thought');
        const isThought = thought?.kind === 'scalar' && this.#bytes[thought.from] === LETTER_T;
        this.#part(
          run + (isThought ? 'thought' : 'text'),
          isThought ? 'reasoning' : 'text',
          memberOf(part, 'text'),
        );
      }
      if (textMember(this.#bytes, candidate, 'finishReason') !== '') this.#endsBehind.push(run);
    }
  }

  // ---- Ollama ------------------------------------------------------------------------------------------------------

  #ollama(root: JsonObject): void {
    const message = memberOf(root, 'message');
    this.#part('m.content', 'text', memberOf(message, 'content'));
    this.#part('m.thinking', 'reasoning', memberOf(message, 'thinking'));
    this.#part('m.response', 'text', memberOf(root, 'response'));
    this.#part('m.thinking', 'reasoning', memberOf(root, 'thinking'));
    const done = memberOf(root, 'done');
    if (done?.kind === 'scalar' && this.#bytes[done.from] === LETTER_T) this.#endsBehind.push(ALL);
  }

  // ---- Cohere ------------------------------------------------------------------------------------------------------

  #cohere(root: JsonObject, type: string): void {
    const run = `k${numberMember(this.#bytes, root, 'index')}.`;
    const message = memberOf(memberOf(root, 'delta'), 'message');
    const content = memberOf(message, 'content');
    this.#part(`${run}text`, 'text', memberOf(content, 'text'));
    this.#part(`${run}thinking`, 'reasoning', memberOf(content, 'thinking'));
    this.#part(`${run}plan`, 'reasoning', memberOf(message, 'tool_plan'));
    const call = memberOf(memberOf(message, 'tool_calls'), 'function');
    this.#part(`${run}call`, 'tool_args', memberOf(call, 'arguments'), true);
    if (type === 'text-generation') this.#part('k.text', 'text', memberOf(root, 'text'));
    if (type === 'content-end' || type === 'tool-call-end') this.#endsBefore = run;
    else if (type === 'message-end' || type === 'stream-end') this.#endsBefore = ALL;
  }
}

/** Members of a chat delta that are read whole: each is in one event. */
const KNOWN_OF_DELTA: ReadonlySet<string> = new Set([
  ...[
    'role',
    'name',
    'tool_call_id',
    'annotations',
    'images',
    'citations',
    'provider_specific_fields',
  ],
  ...['extra_content', 'id', 'signature', 'reasoning_signature', 'channel'],
]);

const LETTER_T = 0x74;

/** An event that holds no text of an answer: an error, or what it cost. */
function isReport(root: JsonObject): boolean {
  return (
    memberOf(root, 'error')?.kind === 'object' ||
    root.members.every(({ name, value }) => value.kind === 'scalar' || REPORT.has(name))
  );
}

const REPORT: ReadonlySet<string> = new Set([
  ...['error', 'usage', 'usageMetadata', 'type', 'id', 'object', 'model', 'modelVersion'],
  ...['responseId', 'promptFeedback', 'code', 'message', 'detail', 'event', 'request_id', 'status'],
]);

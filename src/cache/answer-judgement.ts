/**
 * Whether an answer is one that may be told again: whole, ended by itself, and the work of a model alone. Read once, when all of
 * it has been told to whoever asked for it. What is not understood is not kept.
 */

import type { Buffer } from 'node:buffer';
import type { AnswerHead } from './answer-store.ts';

/** Why an answer is not kept. */
export const UNKEPT_REASONS = [
  /** No success. */
  'status',
  /** Its provider broke off, or told an error in it. */
  'cut',
  /** It did not say what it used. */
  'estimated',
  /** A limit ended it, or nothing says what did. */
  'unfinished',
  /** A filter or the model refused. */
  'refused',
  /** A tool of its provider's was used, which does something or reads what changes. */
  'tools',
  /** It is longer than what is kept. */
  'size',
  /** The node holds as many bytes of answers as it may. */
  'memory',
  /** A guard put something back into it, or took something out. */
  'guarded',
  /** Its caller's budget had no room for what it asked for: another model's, which it is served by then. */
  'instead',
  /** No shape that is known. */
  'unread',
] as const;
export type UnkeptReason = (typeof UNKEPT_REASONS)[number];

type Members = Readonly<Record<string, unknown>>;

/** Ends of an answer that are its own: OpenAI's, Anthropic's, Gemini's, Ollama's. */
const ENDS: ReadonlySet<unknown> = new Set([
  'stop',
  'tool_calls',
  'function_call',
  'end_turn',
  'stop_sequence',
  'tool_use',
  'STOP',
]);
const REFUSED: ReadonlySet<unknown> = new Set([
  'content_filter',
  'refusal',
  'SAFETY',
  'PROHIBITED_CONTENT',
  'BLOCKLIST',
  'RECITATION',
  'SPII',
  'IMAGE_SAFETY',
]);

/** Anthropic's blocks that a model writes, and calls of tools that the caller runs. */
const BLOCKS: ReadonlySet<unknown> = new Set(['text', 'thinking', 'redacted_thinking', 'tool_use']);
/** The same of OpenAI's items (Responses), and of calls in its chat. */
const ITEMS: ReadonlySet<unknown> = new Set([
  'message',
  'reasoning',
  'function_call',
  'custom_tool_call',
]);
const CALLS: ReadonlySet<unknown> = new Set([undefined, 'function', 'custom']);
/** Where answers name what was looked up for them. */
const LOOKED_UP = ['citations', 'search_results'] as const;
/** And of Gemini's parts; any other one is what a tool of Google's wrote, or data. */
const PARTS: ReadonlySet<string> = new Set(['text', 'thought', 'thoughtSignature', 'functionCall']);

/** @returns null: it may be kept */
export function unkeptBecause(head: AnswerHead, body: Buffer): UnkeptReason | null {
  if (head.status !== 200) return 'status';
  const reading = new Reading();
  const text = body.toString('utf8');
  try {
    if (head.isEventStream) for (const data of eventData(text)) reading.take(JSON.parse(data));
    else if (head.format === 'lines') {
      for (const line of text.split('\n')) if (line.trim() !== '') reading.take(JSON.parse(line));
    } else reading.take(JSON.parse(text));
  } catch {
    return 'unread';
  }
  return reading.verdict;
}

/** Ends a stream and is no JSON. */
const DONE = '[DONE]';
const ERROR_EVENT = /^event: ?error$/;
const ERROR = '{"type":"error"}';

function eventData(text: string): readonly string[] {
  return text.split(/\r\n\r\n|\n\n|\r\r/).flatMap((event) => {
    const said = event.split(/\r\n|\n|\r/);
    // Its data may say anything, and in some servers' it is a text.
    if (said.some((line) => ERROR_EVENT.test(line))) return [ERROR];
    const lines = said.filter((line) => line.startsWith('data:'));
    const data = lines.map((line) => line.slice('data:'.length).replace(/^ /, '')).join('\n');
    return data.trim() === '' || data.trim() === DONE ? [] : [data];
  });
}

/** What the JSON texts of one answer said. */
class Reading {
  #why: UnkeptReason | null = null;
  /** Choices, candidates, messages: whether each has its end. */
  readonly #ended = new Map<number, boolean>();
  /** An Anthropic stream has begun, and its last event has not come. */
  #isOpen = false;

  get verdict(): UnkeptReason | null {
    if (this.#why !== null) return this.#why;
    if (this.#ended.size === 0) return 'unread';
    if (this.#isOpen) return 'cut';
    return [...this.#ended.values()].every((hasEnded) => hasEnded) ? null : 'unfinished';
  }

  take(value: unknown): void {
    if (!isObject(value)) {
      this.#because('unread');
      return;
    }
    const { type, error, object, choices, candidates, data, done, promptFeedback } = value;
    if (isSaid(error) || type === 'error') this.#because('cut');
    // What was looked up is told beside the choices by some (Perplexity), and is another tomorrow.
    if (LOOKED_UP.some((name) => listOf(value[name]).length > 0)) this.#because('tools');
    if (isObject(promptFeedback) && isSaid(promptFeedback['blockReason'])) this.#because('refused');
    if (Array.isArray(choices)) for (const choice of choices) this.#choice(choice);
    else if (Array.isArray(candidates)) for (const one of candidates) this.#candidate(one);
    else if (isObject(promptFeedback)) this.#because('refused');
    else if (object === 'response') this.#response(value);
    else if (object === 'list' && Array.isArray(data)) this.#vectors(data);
    else if (typeof done === 'boolean') this.#ollama(value, done);
    else if (type === 'message') this.#message(value, 0);
    else if (typeof type === 'string') this.#event(type, value);
  }

  #because(why: UnkeptReason): void {
    this.#why ??= why;
  }

  #end(index: number, end: unknown): void {
    if (REFUSED.has(end)) this.#because('refused');
    else if (ENDS.has(end)) this.#ended.set(index, true);
    else if (end !== null && end !== undefined) this.#because('unfinished');
    else if (!this.#ended.has(index)) this.#ended.set(index, false);
  }

  /** Chat and completions, whole and as an event. */
  #choice(choice: unknown): void {
    if (!isObject(choice)) return;
    const { index, finish_reason: end, message, delta, error } = choice;
    // As OpenRouter tells what broke behind the head.
    if (isSaid(error)) this.#because('cut');
    const said = isObject(message) ? message : isObject(delta) ? delta : {};
    if (isText(said['refusal'])) this.#because('refused');
    const calls = said['tool_calls'];
    if (Array.isArray(calls) && !calls.every((call) => isObject(call) && CALLS.has(call['type'])))
      this.#because('tools');
    // What was looked up on the web, or in files, or run (Groq), is another tomorrow.
    if (listOf(said['annotations']).length > 0) this.#because('tools');
    if (listOf(said['executed_tools']).length > 0) this.#because('tools');
    this.#end(typeof index === 'number' ? index : 0, end);
  }

  #candidate(candidate: unknown): void {
    if (!isObject(candidate)) return;
    const { index, finishReason, content, groundingMetadata, urlContextMetadata } = candidate;
    if (groundingMetadata !== undefined || urlContextMetadata !== undefined) this.#because('tools');
    const parts = isObject(content) ? content['parts'] : undefined;
    for (const part of Array.isArray(parts) ? parts : []) {
      if (!isObject(part) || !Object.keys(part).every((name) => PARTS.has(name)))
        this.#because('tools');
    }
    this.#end(typeof index === 'number' ? index : 0, finishReason);
  }

  #vectors(data: readonly unknown[]): void {
    const isOne = (one: unknown): boolean => isObject(one) && one['embedding'] !== undefined;
    if (data.length > 0 && data.every(isOne)) this.#ended.set(0, true);
    else this.#because('unread');
  }

  #ollama({ done_reason: end }: Members, done: boolean): void {
    this.#end(0, done ? (end ?? 'unsaid') : null);
  }

  /** Anthropic's. */
  #message({ stop_reason: end, content, container }: Members, index: number): void {
    if (container !== undefined && container !== null) this.#because('tools');
    for (const block of Array.isArray(content) ? content : []) this.#block(block);
    this.#end(index, end);
  }

  #block(block: unknown): void {
    if (!isObject(block) || !BLOCKS.has(block['type'])) this.#because('tools');
    // Of a document that was searched, or the web.
    else if (Array.isArray(block['citations']) && block['citations'].length > 0)
      this.#because('tools');
  }

  #response({ status, output, error }: Members): void {
    if (isSaid(error)) this.#because('cut');
    for (const item of Array.isArray(output) ? output : []) {
      if (!isObject(item) || !ITEMS.has(item['type'])) this.#because('tools');
      else for (const part of listOf(item['content'])) this.#part(part);
    }
    this.#end(0, status === 'completed' ? 'stop' : (status ?? 'unsaid'));
  }

  #part(part: unknown): void {
    if (!isObject(part)) return;
    if (part['type'] === 'refusal') this.#because('refused');
    if (listOf(part['annotations']).length > 0) this.#because('tools');
  }

  /** One event of Anthropic's stream, or of Responses'. */
  #event(type: string, value: Members): void {
    const { message, delta, content_block: block, response } = value;
    if (type === 'message_start' && isObject(message)) {
      this.#isOpen = true;
      this.#message(message, 0);
    } else if (type === 'message_stop') this.#isOpen = false;
    else if (isObject(delta) && delta['type'] === 'citations_delta') this.#because('tools');
    else if (type === 'content_block_start') this.#block(block);
    else if (type === 'message_delta' && isObject(delta)) this.#end(0, delta['stop_reason']);
    else if (type === 'response.completed' && isObject(response)) this.#response(response);
    else if (type === 'response.incomplete') this.#because('unfinished');
    else if (type === 'response.failed') this.#because('cut');
    else if (type.startsWith('response.refusal')) this.#because('refused');
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

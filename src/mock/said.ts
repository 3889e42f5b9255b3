import { EVERY_TOOL, writtenAnswer } from './answers.ts';
import { isObject, type JsonObject, listAt, numberAt, objectAt, stringAt } from './json.ts';
import { pictureWord } from './pictures.ts';
import { answerSchema } from './schema-answer.ts';
import { DEFAULT_PIECES, echoPieces, jsonPieces, promptTokens, THOUGHT_PIECES } from './words.ts';

/** Prompts from this many tokens on are reported as half cached, as OpenAI caches prompts of 1,024 tokens and more. */
const CACHE_FROM_TOKENS = 1_024;
const CACHE_STEP_TOKENS = 128;

/** A limit from here on, in tokens, is a model's own, which a library or a translation wrote: nobody asks for so much. */
const MODELS_OWN_LIMIT = 32_000;

/**
 * Token counts of one answer. `input` is the whole prompt, cached parts included; `output` is everything
 * billed as output, `reasoning` a part of it.
 */
export interface Counts {
  readonly input: number;
  readonly cached: number;
  readonly cacheWrite: number;
  readonly output: number;
  readonly reasoning: number;
}

/** A function call that the answer makes instead of speaking. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: string;
  readonly pieces: readonly string[];
}

/** What is answered to a request, before any vendor's shape is put around it. */
export interface Said {
  readonly pieces: readonly string[];
  readonly text: string;
  readonly thought: readonly string[];
  /** One call, or of every tool one; none where it speaks. */
  readonly tools: readonly ToolCall[];
  readonly counts: Counts;
}

/** What a generation request of any dialect is answered with: a pure function of its body. */
export function say(body: JsonObject): Said {
  const tools = toolCalls(body);
  const pieces = tools.length === 0 ? textPieces(body) : [];
  const thought = wantsThought(body) ? THOUGHT_PIECES : [];
  const spoken = tools.reduce((sum, tool) => sum + tool.pieces.length, pieces.length);
  return {
    pieces,
    text: pieces.join(''),
    thought,
    tools,
    counts: countsOf(body, spoken, thought.length),
  };
}

/** Input counts alone, for endpoints that only count. */
export function countsOf(body: JsonObject, spoken: number, reasoning: number): Counts {
  const { tokens, cacheMarks } = promptTokens(body);
  const half = Math.floor(tokens / 2 / CACHE_STEP_TOKENS) * CACHE_STEP_TOKENS;
  const automatic = tokens >= CACHE_FROM_TOKENS ? half : 0;
  return {
    input: tokens,
    cached: cacheMarks > 0 ? Math.floor(tokens / 2) : automatic,
    cacheWrite: cacheMarks > 0 ? Math.floor(tokens / 4) : 0,
    output: spoken + reasoning,
    reasoning,
  };
}

function textPieces(body: JsonObject): readonly string[] {
  const schema = wantedSchema(body);
  if (schema !== null) return jsonPieces(JSON.stringify(answerSchema(schema)));
  const limit =
    numberAt(body, 'max_completion_tokens') ??
    numberAt(body, 'max_tokens') ??
    numberAt(body, 'max_output_tokens');
  const asked = limit !== null && limit >= MODELS_OWN_LIMIT ? null : limit;
  const prompt = lastUserText(body);
  return writtenAnswer(prompt, asked) ?? echoPieces(prompt, asked ?? DEFAULT_PIECES);
}

function wantedSchema(body: JsonObject): JsonObject | null {
  const formats = [
    objectAt(body, 'response_format'),
    objectAt(objectAt(body, 'text'), 'format'),
    objectAt(objectAt(body, 'output_config'), 'format'),
    objectAt(body, 'output_format'),
  ];
  for (const format of formats) {
    const type = stringAt(format, 'type');
    if (type === 'json_object') return { properties: { said: { type: 'string' } } };
    if (type !== 'json_schema') continue;
    const wrapped = objectAt(format, 'json_schema');
    return 'schema' in wrapped ? objectAt(wrapped, 'schema') : objectAt(format, 'schema');
  }
  return null;
}

function wantsThought(body: JsonObject): boolean {
  const effort =
    stringAt(body, 'reasoning_effort') ?? stringAt(objectAt(body, 'reasoning'), 'effort');
  if (effort !== null) return effort !== 'none';
  const thinking = stringAt(objectAt(body, 'thinking'), 'type');
  if (thinking !== null) return thinking !== 'disabled';
  return /(?<!non-)reason|think/u.test(stringAt(body, 'model') ?? '');
}

function lastItem(body: JsonObject): JsonObject {
  const turns = 'messages' in body ? listAt(body, 'messages') : listAt(body, 'input');
  const last = turns.at(-1);
  return isObject(last) ? last : {};
}

function answersTool(item: JsonObject): boolean {
  return (
    item['role'] === 'tool' ||
    item['type'] === 'function_call_output' ||
    listAt(item, 'content').some((part) => isObject(part) && part['type'] === 'tool_result')
  );
}

function toolCalls(body: JsonObject): readonly ToolCall[] {
  const choice = body['tool_choice'];
  const kind = isObject(choice) ? choice['type'] : choice;
  // After a tool's result the answer is always text: a client's tool loop must end.
  if (kind === 'none' || answersTool(lastItem(body))) return [];
  const named = isObject(choice)
    ? (stringAt(choice, 'name') ?? stringAt(objectAt(choice, 'function'), 'name'))
    : null;
  const calls: ToolCall[] = [];
  const most = lastUserText(body) === EVERY_TOOL ? Number.POSITIVE_INFINITY : 1;
  for (const tool of listAt(body, 'tools')) {
    if (calls.length >= most) break;
    // Server tools (web_search_…) are run by the provider, never called by the answer.
    if (!isObject(tool) || !/^(?:function|custom)$/u.test(stringAt(tool, 'type') ?? 'function')) {
      continue;
    }
    const row = isObject(tool['function']) ? tool['function'] : tool;
    const name = stringAt(row, 'name');
    if (name === null || (named !== null && name !== named)) continue;
    const schema =
      'input_schema' in row ? objectAt(row, 'input_schema') : objectAt(row, 'parameters');
    const text = JSON.stringify(answerSchema({ type: 'object', ...schema }));
    calls.push({ name, arguments: text, pieces: jsonPieces(text) });
  }
  return calls;
}

function lastUserText(body: JsonObject): string {
  const whole = stringAt(body, 'input') ?? stringAt(body, 'prompt');
  if (whole !== null) return whole;
  const prompts = listAt(body, 'prompt');
  if (typeof prompts[0] === 'string') return prompts[0];
  const turns = 'messages' in body ? listAt(body, 'messages') : listAt(body, 'input');
  for (let at = turns.length - 1; at >= 0; at--) {
    const turn = turns[at];
    const text = isObject(turn) && turn['role'] === 'user' ? contentText(turn['content']) : '';
    // Where results stand in a turn of the user's, what was asked stands before it.
    if (text !== '') return text;
  }
  return '';
}

function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part) => (isObject(part) ? (stringAt(part, 'text') ?? pictureWord(part) ?? '') : ''))
    .filter((text) => text !== '')
    .join(' ');
}

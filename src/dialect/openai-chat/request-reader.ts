import type {
  Conversation,
  Effort,
  Format,
  Thinking,
  Tier,
  Tool,
  ToolChoice,
  Turn,
  Verbosity,
  Wish,
} from '../conversation.ts';
import {
  isObject,
  type JsonObject,
  listIn,
  numberIn,
  objectIn,
  parsedObject,
  textIn,
} from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { numberWish } from '../wishes.ts';
import { cacheLifeOf } from './cache-marks.ts';
import { readMessages } from './message-reader.ts';

/** Told of when they are lost: they change how likely an answer is. What is not here is a hint, or unknown: OpenAI adds some weekly. */
const OWN_FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  logit_bias: (value) => isObject(value) && Object.keys(value).length > 0,
  store: (value) => value === true,
};

/** What cannot be left out without asking for something else. */
const REFUSED: Readonly<Record<string, string>> = {
  audio: 'audio output has no place on another wire',
  functions: 'the old functions have no place on another wire: use tools',
  function_call: 'the old functions have no place on another wire: use tool_choice',
  web_search_options: "a search that OpenAI runs has no place on another provider's wire",
};

const EFFORTS: ReadonlySet<unknown> = new Set(['minimal', 'low', 'medium', 'high', 'xhigh', 'max']);
const VERBOSITIES: ReadonlySet<unknown> = new Set(['low', 'medium', 'high']);
const TIERS: ReadonlySet<unknown> = new Set(['auto', 'default', 'priority', 'flex', 'scale']);

/**
 * A body of `POST /v1/chat/completions` (OpenAI API reference).
 * @throws Refusal: it is none, or asks for what OpenAI's wire alone can carry
 */
export function readChatRequest(text: string): Conversation {
  const body = parsedObject(text);
  if (body === null) throw malformed('body', 'it is no JSON object');
  for (const [field, why] of Object.entries(REFUSED))
    if (body[field] !== undefined && body[field] !== null) throw untranslatable(field, why);
  if (listIn(body, 'modalities').includes('audio'))
    throw untranslatable('modalities', 'audio output has no place on another wire');
  const options = objectIn(body, 'stream_options');
  return {
    model: textIn(body, 'model') ?? '',
    turns: readTurns(body),
    tools: listIn(body, 'tools').map(readTool),
    toolChoice: readToolChoice(body['tool_choice']),
    parallelCalls: wished(body, 'parallel_tool_calls', (value) =>
      typeof value === 'boolean' ? value : null,
    ),
    maxTokens: numberWish(body, 'max_completion_tokens') ?? numberWish(body, 'max_tokens'),
    temperature: numberWish(body, 'temperature'),
    topP: numberWish(body, 'top_p'),
    topK: numberWish(body, 'top_k'),
    seed: numberWish(body, 'seed'),
    frequencyPenalty: numberWish(body, 'frequency_penalty'),
    presencePenalty: numberWish(body, 'presence_penalty'),
    stops: wished(body, 'stop', readStops),
    choices: numberWish(body, 'n'),
    logprobs:
      body['logprobs'] === true
        ? { field: 'logprobs', value: numberIn(body, 'top_logprobs') ?? 0 }
        : null,
    format: wished(body, 'response_format', readFormat),
    verbosity: wished(body, 'verbosity', (value) =>
      VERBOSITIES.has(value) ? (value as Verbosity) : null,
    ),
    thinking: wished(body, 'reasoning_effort', readEffort),
    tier: wished(body, 'service_tier', (value) => (TIERS.has(value) ? (value as Tier) : null)),
    user: textIn(body, 'safety_identifier') ?? textIn(body, 'user'),
    ownFields: Object.keys(OWN_FIELDS).filter(
      (field) =>
        body[field] !== undefined && body[field] !== null && OWN_FIELDS[field]?.(body[field]),
    ),
    isStream: body['stream'] === true,
    wantsUsage: options?.['include_usage'] === true,
    echoed: null,
  };
}

function readTurns(body: JsonObject): readonly Turn[] {
  const { messages } = body;
  if (!Array.isArray(messages) || messages.length === 0)
    throw malformed('messages', 'expected a list of at least one message');
  return readMessages(messages);
}

/** @param read gives null for a value that says nothing */
function wished<T>(
  body: JsonObject,
  field: string,
  read: (value: unknown) => T | null,
): Wish<T> | null {
  const value = body[field];
  const found = value === undefined || value === null ? null : read(value);
  return found === null ? null : { field, value: found };
}

function readStops(value: unknown): readonly string[] | null {
  const stops = (Array.isArray(value) ? value : [value]).filter(
    (stop): stop is string => typeof stop === 'string',
  );
  return stops.length === 0 ? null : stops;
}

function readEffort(value: unknown): Thinking | null {
  if (value === 'none') return { kind: 'off' };
  return EFFORTS.has(value) ? { kind: 'effort', effort: value as Effort } : null;
}

function readFormat(value: unknown): Format | null {
  if (!isObject(value)) return null;
  if (value['type'] === 'json_object') return { kind: 'json' };
  const told = objectIn(value, 'json_schema');
  if (value['type'] !== 'json_schema' || told === null) return null;
  const schema = objectIn(told, 'schema');
  if (schema === null) return { kind: 'json' };
  return { kind: 'schema', name: textIn(told, 'name'), schema, isStrict: told['strict'] === true };
}

function readTool(value: unknown, index: number): Tool {
  const field = `tools[${index}]`;
  if (!isObject(value)) throw malformed(field, 'expected an object');
  const type = textIn(value, 'type');
  if (type !== null && type !== 'function') {
    const named = objectIn(value, type);
    return { kind: 'hosted', name: (named === null ? null : textIn(named, 'name')) ?? type };
  }
  const told = objectIn(value, 'function');
  const name = told === null ? null : textIn(told, 'name');
  if (told === null || name === null || name === '')
    throw malformed(`${field}.function.name`, 'expected a name');
  const schema = told['parameters'];
  if (schema !== undefined && schema !== null && !isObject(schema))
    throw malformed(`${field}.function.parameters`, 'expected a JSON schema');
  return {
    kind: 'function',
    name,
    description: textIn(told, 'description'),
    schema: schema ?? null,
    isStrict: told['strict'] === true,
    cache: cacheLifeOf(value) ?? cacheLifeOf(told),
  };
}

function readToolChoice(value: unknown): ToolChoice | null {
  if (value === 'auto' || value === 'none') return { kind: value };
  if (value === 'required') return { kind: 'any' };
  if (!isObject(value)) return null;
  const type = textIn(value, 'type') ?? '';
  const told = objectIn(value, type) ?? value;
  if (type !== 'allowed_tools') return { kind: 'named', name: textIn(told, 'name') ?? type };
  const names = listIn(told, 'tools').map((tool) => {
    const one = isObject(tool) ? (objectIn(tool, 'function') ?? tool) : {};
    return textIn(one, 'name') ?? '';
  });
  return { kind: 'allowed', names, isForced: told['mode'] === 'required' };
}

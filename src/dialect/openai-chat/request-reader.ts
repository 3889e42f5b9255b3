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
import {
  argumentsSchema,
  choicesWish,
  flagAt,
  listAt,
  numberWish,
  objectAt,
  stopsWish,
} from '../wishes.ts';
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
  const options = objectAt(body, 'stream_options');
  const lost = new Set<string>();
  return {
    model: textIn(body, 'model') ?? '',
    turns: readTurns(body, lost),
    tools: listAt(body, 'tools').map(readTool),
    toolChoice: readToolChoice(body['tool_choice']),
    parallelCalls:
      body['parallel_tool_calls'] == null
        ? null
        : { field: 'parallel_tool_calls', value: flagAt(body, 'parallel_tool_calls') },
    maxTokens: numberWish(body, 'max_completion_tokens') ?? numberWish(body, 'max_tokens'),
    temperature: numberWish(body, 'temperature'),
    topP: numberWish(body, 'top_p'),
    topK: numberWish(body, 'top_k'),
    seed: numberWish(body, 'seed'),
    frequencyPenalty: numberWish(body, 'frequency_penalty'),
    presencePenalty: numberWish(body, 'presence_penalty'),
    stops: stopsWish(body, 'stop'),
    choices: choicesWish(body, 'n'),
    logprobs: flagAt(body, 'logprobs')
      ? { field: 'logprobs', value: numberIn(body, 'top_logprobs') ?? 0 }
      : null,
    format: readFormat(objectAt(body, 'response_format')),
    verbosity: wished(body, 'verbosity', lost, (value) =>
      VERBOSITIES.has(value) ? (value as Verbosity) : null,
    ),
    thinking: wished(body, 'reasoning_effort', lost, readEffort),
    tier: wished(body, 'service_tier', lost, (value) =>
      TIERS.has(value) ? (value as Tier) : null,
    ),
    user: textIn(body, 'safety_identifier') ?? textIn(body, 'user'),
    ownFields: [
      ...Object.keys(OWN_FIELDS).filter(
        (field) =>
          body[field] !== undefined && body[field] !== null && OWN_FIELDS[field]?.(body[field]),
      ),
      ...lost,
    ],
    isStream: flagAt(body, 'stream'),
    wantsUsage: options?.['include_usage'] === true,
    echoed: null,
  };
}

function readTurns(body: JsonObject, lost: Set<string>): readonly Turn[] {
  const { messages } = body;
  if (!Array.isArray(messages) || messages.length === 0)
    throw malformed('messages', 'expected a list of at least one message');
  return readMessages(messages, lost);
}

/**
 * @param lost takes the field's name where its value is one that nobody here knows
 * @param read gives null for such a value
 */
function wished<T>(
  body: JsonObject,
  field: string,
  lost: Set<string>,
  read: (value: unknown) => T | null,
): Wish<T> | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  const found = read(value);
  if (found === null) lost.add(field);
  return found === null ? null : { field, value: found };
}

function readEffort(value: unknown): Thinking | null {
  if (value === 'none') return { kind: 'off' };
  return EFFORTS.has(value) ? { kind: 'effort', effort: value as Effort } : null;
}

function readFormat(value: JsonObject | null): Wish<Format> | null {
  const field = 'response_format';
  if (value === null) return null;
  switch (value['type']) {
    case 'text':
      return null;
    case 'json_object': {
      // Together's and Fireworks' spelling of a schema.
      const schema = objectAt(value, 'schema', `${field}.schema`);
      if (schema === null) return { field, value: { kind: 'json' } };
      return { field, value: { kind: 'schema', name: null, schema, isStrict: false } };
    }
    case 'json_schema': {
      const told = objectAt(value, 'json_schema', `${field}.json_schema`);
      if (told === null) throw malformed(`${field}.json_schema`, 'expected an object');
      const schema = objectAt(told, 'schema', `${field}.json_schema.schema`);
      if (schema === null) return { field, value: { kind: 'json' } };
      const name = textIn(told, 'name');
      return { field, value: { kind: 'schema', name, schema, isStrict: told['strict'] === true } };
    }
    case undefined:
      throw malformed(`${field}.type`, 'expected text, json_object or json_schema');
    default:
      throw untranslatable(`${field}.type`, 'no other wire has a format of this name');
  }
}

function readTool(value: unknown, index: number): Tool {
  const field = `tools[${index}]`;
  if (!isObject(value)) throw malformed(field, 'expected an object');
  const type = textIn(value, 'type');
  if (type !== null && type !== 'function') {
    const named = objectIn(value, type);
    if (type === 'custom' && named === null)
      throw malformed(`${field}.custom.name`, 'expected a name');
    return { kind: 'hosted', name: (named === null ? null : textIn(named, 'name')) ?? type };
  }
  const told = objectIn(value, 'function');
  const name = told === null ? null : textIn(told, 'name');
  if (told === null || name === null || name === '')
    throw malformed(`${field}.function.name`, 'expected a name');
  const schema = told['parameters'] ?? null;
  return {
    kind: 'function',
    name,
    description: textIn(told, 'description'),
    schema: schema === null ? null : argumentsSchema(schema, `${field}.function.parameters`),
    isStrict: told['strict'] === true,
    cache: cacheLifeOf(value) ?? cacheLifeOf(told),
  };
}

function readToolChoice(value: unknown): ToolChoice | null {
  if (value === 'auto' || value === 'none') return { kind: value };
  // Mistral's word for it is the second one.
  if (value === 'required' || value === 'any') return { kind: 'any' };
  if (value === undefined || value === null) return null;
  if (!isObject(value))
    throw malformed('tool_choice', 'expected auto, none, required or the name of a tool');
  const type = textIn(value, 'type') ?? '';
  const told = objectIn(value, type) ?? value;
  if (type !== 'allowed_tools') return { kind: 'named', name: chosenName(told, type) };
  const names = listIn(told, 'tools').map((tool) => {
    const one = isObject(tool) ? (objectIn(tool, 'function') ?? tool) : {};
    return textIn(one, 'name') ?? '';
  });
  return { kind: 'allowed', names, isForced: told['mode'] === 'required' };
}

/** Of a tool that a vendor runs itself its type is the name. */
function chosenName(told: JsonObject, type: string): string {
  const name = textIn(told, 'name');
  if (name !== null && name !== '') return name;
  if (OF_CALLERS.has(type)) throw malformed('tool_choice', 'expected the name of a tool');
  return type;
}

/** Tools that callers run, as OpenAI and Anthropic call them; `''`: its kind is not told. */
const OF_CALLERS: ReadonlySet<string> = new Set(['function', 'custom', 'tool', '']);

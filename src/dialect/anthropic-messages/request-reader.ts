import type {
  Conversation,
  Effort,
  Format,
  Thinking,
  Tier,
  Tool,
  ToolChoice,
  Wish,
} from '../conversation.ts';
import { isObject, type JsonObject, objectIn, parsedObject, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { argumentsSchema, flagAt, listAt, numberWish, objectAt, stopsWish } from '../wishes.ts';
import { cacheLifeOf, readContent, readMessages } from './message-reader.ts';

/** Told of when they are lost; what is not here is a hint, or unknown: Anthropic adds some with every release. */
const OWN_FIELDS = ['context_management', 'container', 'speed', 'inference_geo'] as const;

const EFFORTS: ReadonlySet<unknown> = new Set(['low', 'medium', 'high', 'xhigh', 'max']);

const TIERS: ReadonlyMap<unknown, Tier> = new Map([
  ['auto', 'auto'],
  ['standard_only', 'default'],
]);

/**
 * A body of `POST /v1/messages` (Anthropic API reference), of either API version.
 * @throws Refusal: it is none, or asks for what Anthropic's wire alone can carry
 */
export function readMessagesRequest(text: string): Conversation {
  const said = readCountRequest(text);
  if (said.maxTokens === null) throw malformed('max_tokens', 'expected a number');
  return said;
}

/**
 * A body of `POST /v1/messages/count_tokens`: the same, without what only an answer needs.
 * @throws Refusal as `readMessagesRequest`
 */
export function readCountRequest(text: string): Conversation {
  const body = parsedObject(text);
  if (body === null) throw malformed('body', 'it is no JSON object');
  if (listAt(body, 'mcp_servers').length > 0)
    throw untranslatable('mcp_servers', 'only Anthropic can reach them for you');
  const { messages } = body;
  if (!Array.isArray(messages) || messages.length === 0)
    throw malformed('messages', 'expected a list of at least one message');
  const lost = new Set<string>();
  const system = readContent(body['system'], 'system', 'system', lost);
  const turns = readMessages(messages, lost);
  const isTold = (field: string) => body[field] !== undefined && body[field] !== null;
  return {
    model: textIn(body, 'model') ?? '',
    turns: system.length === 0 ? turns : [{ role: 'system', parts: system }, ...turns],
    tools: listAt(body, 'tools').map(readTool),
    toolChoice: readToolChoice(objectAt(body, 'tool_choice')),
    parallelCalls: readParallel(objectIn(body, 'tool_choice')),
    maxTokens: numberWish(body, 'max_tokens'),
    temperature: numberWish(body, 'temperature'),
    topP: numberWish(body, 'top_p'),
    topK: numberWish(body, 'top_k'),
    seed: null,
    frequencyPenalty: null,
    presencePenalty: null,
    stops: stopsWish(body, 'stop_sequences'),
    choices: null,
    logprobs: null,
    format: readFormat(body),
    verbosity: null,
    thinking: readThinking(body, lost),
    tier: readTier(body, lost),
    user: textIn(objectIn(body, 'metadata') ?? {}, 'user_id'),
    ownFields: [...OWN_FIELDS.filter(isTold), ...lost],
    isStream: flagAt(body, 'stream'),
    wantsUsage: true,
    echoed: null,
  };
}

function readTier(body: JsonObject, lost: Set<string>): Wish<Tier> | null {
  const told = body['service_tier'];
  const value = TIERS.get(told);
  if (value === undefined && told !== undefined && told !== null) lost.add('service_tier');
  return value === undefined ? null : { field: 'service_tier', value };
}

function readFormat(body: JsonObject): Wish<Format> | null {
  const config = objectAt(body, 'output_config');
  // Until it was released it had a field of its own.
  const format =
    objectAt(config ?? {}, 'format', 'output_config.format') ?? objectAt(body, 'output_format');
  if (format === null) return null;
  const schema = objectIn(format, 'schema');
  if (format['type'] !== 'json_schema' || schema === null)
    throw malformed('output_config.format', 'expected a JSON schema');
  return {
    field: 'output_config.format',
    value: { kind: 'schema', name: null, schema, isStrict: true },
  };
}

function readThinking(body: JsonObject, lost: Set<string>): Wish<Thinking> | null {
  const told = objectIn(body, 'output_config')?.['effort'] ?? null;
  if (told !== null && !EFFORTS.has(told)) lost.add('output_config.effort');
  const effort = EFFORTS.has(told) ? (told as Effort) : null;
  const thinking = objectAt(body, 'thinking');
  const byEffort = (field: string): Wish<Thinking> => ({
    field,
    value: { kind: 'effort', effort },
  });
  switch (thinking?.['type']) {
    case undefined:
      return effort === null ? null : byEffort('output_config.effort');
    case 'disabled':
      return { field: 'thinking', value: { kind: 'off' } };
    case 'enabled': {
      const tokens = thinking?.['budget_tokens'];
      if (typeof tokens !== 'number')
        throw malformed('thinking.budget_tokens', 'expected a number');
      return { field: 'thinking', value: { kind: 'budget', tokens } };
    }
    default:
      return byEffort('thinking');
  }
}

function readTool(value: unknown, index: number): Tool {
  if (!isObject(value)) throw malformed(`tools[${index}]`, 'expected an object');
  const name = textIn(value, 'name');
  const type = textIn(value, 'type');
  // OpenAI's: nothing of it stands where it would be read.
  if (type === 'function') throw malformed(`tools[${index}].type`, 'expected custom');
  if (type !== null && type !== 'custom') return { kind: 'hosted', name: name ?? type };
  if (name === null || name === '') throw malformed(`tools[${index}].name`, 'expected a name');
  return {
    kind: 'function',
    name,
    description: textIn(value, 'description'),
    schema: argumentsSchema(value['input_schema'], `tools[${index}].input_schema`),
    isStrict: value['strict'] === true,
    cache: cacheLifeOf(value),
  };
}

function readToolChoice(choice: JsonObject | null): ToolChoice | null {
  switch (choice?.['type']) {
    case 'auto':
    case 'none':
    case 'any':
      return { kind: choice['type'] };
    case 'tool': {
      const name = textIn(choice, 'name') ?? '';
      if (name === '') throw malformed('tool_choice.name', 'expected the name of a tool');
      return { kind: 'named', name };
    }
    case undefined:
      if (choice === null) return null;
      throw malformed('tool_choice.type', 'expected auto, any, tool or none');
    default:
      throw malformed('tool_choice.type', 'expected auto, any, tool or none');
  }
}

function readParallel(choice: JsonObject | null): Wish<boolean> | null {
  const { disable_parallel_tool_use: isDisabled } = choice ?? {};
  if (typeof isDisabled !== 'boolean') return null;
  return { field: 'tool_choice.disable_parallel_tool_use', value: !isDisabled };
}

import type {
  Conversation,
  Effort,
  Format,
  Thinking,
  Tier,
  Turn,
  Verbosity,
  Wish,
} from '../conversation.ts';
import { type JsonObject, listIn, numberIn, parsedObject, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { flagAt, listAt, numberWish, objectAt } from '../wishes.ts';
import { readInput } from './item-reader.ts';
import { readToolChoice, readTools } from './tool-reader.ts';

/** Told of when they are lost: they change how likely an answer is. What is not here is a hint, or unknown. */
const OWN_FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  max_tool_calls: () => true,
  store: (value) => value === true,
  truncation: (value) => value === 'auto',
  context_management: (value) => Array.isArray(value) && value.length > 0,
};

/** What stands for a history, or a later answer, that only OpenAI keeps. */
const REFUSED: Readonly<Record<string, string>> = {
  previous_response_id: "the answer before lives in one provider's account: send what was said",
  conversation: "a conversation lives in one provider's account: send what was said",
  prompt: "a prompt lives in one provider's account: send its text",
  background: 'an answer that is asked for later has no place on another wire',
};

/** Of the request, what every answer tells again, and what it is where nothing was said. */
const ECHOED: JsonObject = {
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  temperature: null,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: null,
  truncation: 'disabled',
  user: null,
};

const EFFORTS: ReadonlySet<unknown> = new Set(['minimal', 'low', 'medium', 'high', 'xhigh', 'max']);
const TIERS: ReadonlySet<unknown> = new Set(['auto', 'default', 'priority', 'flex', 'scale']);
const VERBOSITIES: ReadonlySet<unknown> = new Set(['low', 'medium', 'high']);

/**
 * A body of `POST /v1/responses` (OpenAI API reference, "Responses"), which keeps nothing here: all that was said is in it.
 * @throws Refusal: it is none, or asks for what OpenAI's wire alone can carry
 */
export function readResponsesRequest(body_: string): Conversation {
  const body = parsedObject(body_);
  if (body === null) throw malformed('body', 'it is no JSON object');
  for (const [field, why] of Object.entries(REFUSED))
    if (isTold(body[field]) && body[field] !== false) throw untranslatable(field, why);
  const text = objectAt(body, 'text') ?? {};
  const lost = new Set<string>();
  return {
    model: textIn(body, 'model') ?? '',
    turns: readTurns(body, lost),
    tools: listAt(body, 'tools').flatMap(readTools),
    toolChoice: readToolChoice(body['tool_choice']),
    parallelCalls: readParallel(body),
    maxTokens: numberWish(body, 'max_output_tokens'),
    temperature: numberWish(body, 'temperature'),
    topP: numberWish(body, 'top_p'),
    topK: null,
    seed: null,
    frequencyPenalty: null,
    presencePenalty: null,
    stops: null,
    choices: null,
    logprobs: readLogprobs(body),
    format: readFormat(objectAt(text, 'format', 'text.format')),
    verbosity: oneOf<Verbosity>('text.verbosity', text['verbosity'], VERBOSITIES, lost),
    thinking: readThinking(objectAt(body, 'reasoning'), lost),
    tier: oneOf<Tier>('service_tier', body['service_tier'], TIERS, lost),
    user: textIn(body, 'safety_identifier') ?? textIn(body, 'user'),
    ownFields: [
      ...Object.keys(OWN_FIELDS).filter(
        (field) => isTold(body[field]) && OWN_FIELDS[field]?.(body[field]),
      ),
      ...lost,
    ],
    isStream: flagAt(body, 'stream'),
    wantsUsage: true,
    echoed: Object.fromEntries(
      Object.entries(ECHOED).map(([field, byDefault]) => [field, body[field] ?? byDefault]),
    ),
  };
}

function isTold(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function readTurns(body: JsonObject, lost: Set<string>): readonly Turn[] {
  const turns = readInput(body['input'], lost);
  const { instructions } = body;
  if (!isTold(instructions) || instructions === '') return turns;
  if (typeof instructions !== 'string') throw malformed('instructions', 'expected a text');
  const part = { kind: 'text', text: instructions, cache: null } as const;
  return [{ role: 'system', parts: [part] }, ...turns];
}

/** @returns null where it is none of the values, whose loss is told then */
function oneOf<T>(
  field: string,
  value: unknown,
  values: ReadonlySet<unknown>,
  lost: Set<string>,
): Wish<T> | null {
  if (values.has(value)) return { field, value: value as T };
  if (isTold(value)) lost.add(field);
  return null;
}

function readParallel(body: JsonObject): Wish<boolean> | null {
  const field = 'parallel_tool_calls';
  return isTold(body[field]) ? { field, value: flagAt(body, field) } : null;
}

function readLogprobs(body: JsonObject): Wish<number> | null {
  const value = numberIn(body, 'top_logprobs') ?? 0;
  if (value > 0) return { field: 'top_logprobs', value };
  const isAsked = listIn(body, 'include').includes('message.output_text.logprobs');
  return isAsked ? { field: 'include.message.output_text.logprobs', value } : null;
}

function readThinking(reasoning: JsonObject | null, lost: Set<string>): Wish<Thinking> | null {
  const effort = reasoning?.['effort'];
  const field = 'reasoning.effort';
  if (effort === 'none') return { field, value: { kind: 'off' } };
  const known = oneOf<Effort>(field, effort, EFFORTS, lost);
  return known === null ? null : { field, value: { kind: 'effort', effort: known.value } };
}

function readFormat(format: JsonObject | null): Wish<Format> | null {
  const field = 'text.format';
  if (format === null) return null;
  switch (format['type']) {
    case 'text':
      return null;
    case 'json_object':
      return { field, value: { kind: 'json' } };
    case 'json_schema': {
      const schema = objectAt(format, 'schema', `${field}.schema`);
      if (schema === null) return { field, value: { kind: 'json' } };
      const isStrict = format['strict'] === true;
      return { field, value: { kind: 'schema', name: textIn(format, 'name'), schema, isStrict } };
    }
    case undefined:
      throw malformed(`${field}.type`, 'expected text, json_object or json_schema');
    default:
      throw untranslatable(`${field}.type`, 'no other wire has a format of this name');
  }
}

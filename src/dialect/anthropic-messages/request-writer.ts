import { type ClaudeTraits, claudeTraits } from '../claude-models.ts';
import type { Conversation, FunctionTool, Tier, Wish } from '../conversation.ts';
import { type Losses, untranslatable } from '../losses.ts';
import { closedSchema } from '../output-schema.ts';
import { droppedHosted } from '../tool-choices.ts';
import type { ToolNames } from '../wire-names.ts';
import { boundMarks, cacheControl, writeConversation } from './message-writer.ts';
import type { MessagesRequest, Tool, ToolChoice } from './shapes.ts';
import { writeThinking } from './thinking-writer.ts';

const TIERS: ReadonlyMap<Tier, 'auto' | 'standard_only'> = new Map([
  ['auto', 'auto'],
  ['default', 'standard_only'],
  ['priority', 'auto'],
]);

/**
 * For `anthropic-version: 2023-06-01`.
 * @throws Refusal
 */
export function writeMessagesRequest(
  said: Conversation,
  model: string,
  losses: Losses,
  names: ToolNames,
): MessagesRequest {
  const traits = claudeTraits(model);
  if (said.choices !== null && said.choices.value > 1)
    throw untranslatable(said.choices.field, 'Anthropic gives one answer at a time');
  const { system, messages } = writeConversation(said, traits, names);
  const maxTokens = said.maxTokens?.value ?? traits.maxOutputTokens;
  const body: MessagesRequest = { model, max_tokens: maxTokens, messages };
  if (system.length > 0) body.system = system;
  writeTools(said, losses, names, body);
  writeThinking(said, traits, losses, body);
  writeSampling(said, traits, losses, body);
  writeFormat(said, traits, losses, body);
  if (said.user !== null) body.metadata = { user_id: said.user };
  writeTier(said.tier, losses, body);
  if (said.isStream) body.stream = true;
  for (const field of said.ownFields) losses.drop(field);
  boundMarks(body);
  return body;
}

function writeTools(
  said: Conversation,
  losses: Losses,
  names: ToolNames,
  body: MessagesRequest,
): void {
  const { toolChoice } = said;
  const allowed = toolChoice?.kind === 'allowed' ? new Set(toolChoice.names) : null;
  const tools = droppedHosted(said, losses).filter(
    ({ name }) => allowed === null || allowed.has(name),
  );
  // A choice without anything to choose from is a 400.
  if (tools.length === 0) return;
  body.tools = tools.map((tool) => writeTool(tool, names));
  const choice = writeToolChoice(said, names);
  if (choice !== null) body.tool_choice = choice;
}

function writeTool(tool: FunctionTool, names: ToolNames): Tool {
  const { $schema: _, ...schema } = tool.schema ?? {};
  return {
    name: names.given(tool.name),
    ...(tool.description === null ? {} : { description: tool.description }),
    input_schema: { properties: {}, ...schema, type: 'object' },
    ...(tool.isStrict ? { strict: true } : {}),
    ...cacheControl(tool.cache),
  };
}

function writeToolChoice(
  { toolChoice, parallelCalls }: Conversation,
  names: ToolNames,
): ToolChoice | null {
  const single = parallelCalls?.value === false ? { disable_parallel_tool_use: true } : {};
  switch (toolChoice?.kind) {
    case undefined:
    case 'auto':
      return 'disable_parallel_tool_use' in single ? { type: 'auto', ...single } : null;
    case 'none':
      return { type: 'none' };
    case 'any':
      return { type: 'any', ...single };
    case 'named':
      return { type: 'tool', name: names.given(toolChoice.name), ...single };
    case 'allowed':
      return { type: toolChoice.isForced ? 'any' : 'auto', ...single };
  }
}

function writeSampling(
  said: Conversation,
  traits: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  writeTemperature(said, traits, losses, body);
  const isThinking = thinks(body);
  const { topP, topK } = said;
  if (topP !== null) {
    const isTaken =
      !isThinking &&
      traits.sampling !== 'none' &&
      (traits.sampling === 'all' || body.temperature === undefined);
    if (isTaken) body.top_p = topP.value;
    else if (topP.value !== 1) losses.drop(topP);
  }
  if (topK !== null) {
    if (!isThinking && traits.sampling !== 'none') body.top_k = topK.value;
    else losses.drop(topK);
  }
  for (const wish of [said.frequencyPenalty, said.presencePenalty])
    if (wish !== null && wish.value !== 0) losses.drop(wish);
  if (said.seed !== null) losses.drop(said.seed);
  if (said.logprobs !== null) losses.drop(said.logprobs);
  if (said.verbosity !== null && said.verbosity.value !== 'medium') losses.drop(said.verbosity);
  writeStops(said, losses, body);
}

/** OpenAI's goes up to 2, Anthropic's to 1. */
function writeTemperature(
  { temperature }: Conversation,
  { sampling }: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  if (temperature === null) return;
  const { value } = temperature;
  if (sampling === 'none' || (thinks(body) && value !== 1)) {
    if (value !== 1) losses.drop(temperature);
    return;
  }
  body.temperature = Math.min(1, value);
  if (value > 1) losses.adjust(temperature, 1);
}

function thinks({ thinking }: MessagesRequest): boolean {
  return thinking?.type === 'enabled' || thinking?.type === 'adaptive';
}

/** One of white space alone is a 400. */
function writeStops({ stops }: Conversation, losses: Losses, body: MessagesRequest): void {
  if (stops === null) return;
  const taken = stops.value.filter((stop) => stop.trim() !== '');
  if (taken.length > 0) body.stop_sequences = taken;
  if (taken.length < stops.value.length) losses.drop(stops);
}

function writeFormat(
  { format }: Conversation,
  traits: ClaudeTraits,
  losses: Losses,
  body: MessagesRequest,
): void {
  if (format === null) return;
  const { value } = format;
  if (value.kind === 'json' || !traits.format) losses.drop(format);
  else {
    const schema = { ...closedSchema(value.schema) };
    body.output_config = { ...body.output_config, format: { type: 'json_schema', schema } };
  }
}

function writeTier(tier: Wish<Tier> | null, losses: Losses, body: MessagesRequest): void {
  if (tier === null) return;
  const taken = TIERS.get(tier.value);
  if (taken === undefined) losses.drop(tier);
  else body.service_tier = taken;
}

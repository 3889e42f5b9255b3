import type { Conversation, Effort, FunctionTool, Thinking } from '../conversation.ts';
import type { JsonObject } from '../json-values.ts';
import { type Losses, untranslatable } from '../losses.ts';
import { droppedHosted } from '../tool-choices.ts';
import type { ToolNames } from '../wire-names.ts';
import { writeMessages } from './message-writer.ts';
import type { OllamaOptions, OllamaRequest, OllamaTool } from './shapes.ts';

/**
 * The body of `POST /api/chat`. What the caller did not say stays unsaid: it is the model file's to say.
 * @throws Refusal
 */
export function writeOllamaRequest(
  said: Conversation,
  model: string,
  losses: Losses,
  names: ToolNames,
): OllamaRequest {
  if (said.choices !== null && said.choices.value > 1)
    throw untranslatable(said.choices.field, 'Ollama gives one answer at a time');
  const messages = writeMessages(said, names);
  const body: OllamaRequest = { model, messages, stream: said.isStream };
  writeTools(said, losses, names, body);
  if (said.format !== null) {
    const { value } = said.format;
    body.format = value.kind === 'json' ? 'json' : { ...value.schema };
  }
  if (said.thinking !== null) body.think = thinkOf(said.thinking.value);
  const options = optionsOf(said, losses);
  if (Object.keys(options).length > 0) body.options = options;
  dropOthers(said, losses);
  return body;
}

const EFFORTS: Readonly<Record<Effort, 'low' | 'medium' | 'high' | 'max'>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'max',
  max: 'max',
};

/** A budget has no place: it thinks as much as it finds right. */
function thinkOf(thinking: Thinking): NonNullable<OllamaRequest['think']> {
  if (thinking.kind === 'effort') return thinking.effort === null || EFFORTS[thinking.effort];
  return thinking.kind === 'budget';
}

function optionsOf(said: Conversation, losses: Losses): OllamaOptions {
  const options: OllamaOptions = {};
  const { maxTokens, stops } = said;
  if (maxTokens !== null) {
    // Anthropic's way to warm a cache: here at least one token has to be asked for.
    options.num_predict = Math.max(1, maxTokens.value);
    if (options.num_predict !== maxTokens.value) losses.adjust(maxTokens, options.num_predict);
  }
  if (said.temperature !== null) options.temperature = said.temperature.value;
  if (said.topP !== null) options.top_p = said.topP.value;
  if (said.topK !== null) options.top_k = said.topK.value;
  if (said.seed !== null) options.seed = said.seed.value;
  if (said.frequencyPenalty !== null) options.frequency_penalty = said.frequencyPenalty.value;
  if (said.presencePenalty !== null) options.presence_penalty = said.presencePenalty.value;
  if (stops !== null) options.stop = [...stops.value];
  return options;
}

// ---- tools -------------------------------------------------------------------------------------------------------------

function writeTools(
  said: Conversation,
  losses: Losses,
  names: ToolNames,
  body: OllamaRequest,
): void {
  const tools = offered(said, droppedHosted(said, losses), losses);
  if (tools.length === 0) return;
  body.tools = tools.map((tool) => writeTool(tool, names));
  if (tools.some(({ isStrict }) => isStrict)) losses.drop('tools.strict');
  if (said.parallelCalls?.value === false) losses.drop(said.parallelCalls);
}

/** There is no way to choose for the model, but to offer fewer tools. */
function offered(
  { toolChoice }: Conversation,
  tools: readonly FunctionTool[],
  losses: Losses,
): readonly FunctionTool[] {
  switch (toolChoice?.kind) {
    case undefined:
    case 'auto':
      return tools;
    case 'none':
      return [];
    case 'any':
    case 'named':
      if (tools.length > 0) losses.drop('tool_choice');
      return tools;
    case 'allowed':
      if (toolChoice.isForced && tools.length > 0) losses.drop('tool_choice');
      return tools.filter(({ name }) => toolChoice.names.includes(name));
  }
}

function writeTool({ name, description, schema }: FunctionTool, names: ToolNames): OllamaTool {
  return {
    type: 'function',
    function: {
      name: names.given(name),
      ...(description === null ? {} : { description }),
      ...(schema === null ? {} : { parameters: withoutDialect(schema) }),
    },
  };
}

/** Which JSON schema it is written in says nothing to a model. */
function withoutDialect(schema: JsonObject): JsonObject {
  const { $schema: _, ...kept } = schema;
  return kept;
}

function dropOthers({ logprobs, verbosity, tier, ownFields }: Conversation, losses: Losses): void {
  if (logprobs !== null) losses.drop(logprobs);
  if (verbosity !== null && verbosity.value !== 'medium') losses.drop(verbosity);
  if (tier !== null && tier.value !== 'auto' && tier.value !== 'default') losses.drop(tier);
  for (const field of ownFields) losses.drop(field);
}

import type { Conversation, FunctionTool, Wish } from '../conversation.ts';
import { geminiTraits } from '../gemini-models.ts';
import { type JsonObject, measuredObject, numberIn } from '../json-values.ts';
import { type Losses, untranslatable } from '../losses.ts';
import { droppedHosted } from '../tool-choices.ts';
import type { ToolNames } from '../wire-names.ts';
import { writeContents } from './content-writer.ts';
import type {
  FunctionCalling,
  FunctionDeclaration,
  GeminiRequest,
  GenerationConfig,
} from './shapes.ts';
import { writeThinking } from './thinking-writer.ts';

/** Gemini takes five (ai.google.dev/api/generate-content, `stopSequences`). */
const STOPS_MAX = 5;

/**
 * The body of a call of `generateContent`, or of `streamGenerateContent`: they have the same one.
 * @throws Refusal
 */
export function writeGeminiRequest(
  said: Conversation,
  model: string,
  losses: Losses,
  names: ToolNames,
): GeminiRequest {
  const { system, contents } = writeContents(said, geminiTraits(model), names);
  const body: GeminiRequest = { contents };
  if (system.length > 0) body.systemInstruction = { parts: system };
  writeTools(said, losses, names, body);
  const config: GenerationConfig = {};
  writeChoices(said, model, config);
  writeLimit(said, losses, config);
  writeSampling(said, losses, config);
  writeFormat(said, config);
  writeThinking(said, model, losses, config);
  if (Object.keys(config).length > 0) body.generationConfig = config;
  writeTier(said, losses, body);
  for (const field of said.ownFields) losses.drop(field);
  return body;
}

/** The body of a call of `countTokens` (ai.google.dev/api/tokens): all of the request that becomes a prompt. */
export function writeGeminiCount(written: GeminiRequest, model: string): object {
  const { contents, systemInstruction, tools, toolConfig } = written;
  const prompt = { model: `models/${model}`, contents, systemInstruction, tools, toolConfig };
  return { generateContentRequest: prompt };
}

/** @param text of its answer. @returns null where it is none */
export function geminiCount(text: string): number | null {
  const count = numberIn(measuredObject(text) ?? {}, 'totalTokens');
  return count !== null && Number.isInteger(count) && count >= 0 ? count : null;
}

/** @param verb what is asked */
function geminiCall(model: string, verb: string): string {
  return `/models/${encodeURIComponent(model.toWellFormed())}:${verb}`;
}

export function geminiCountPath(model: string): string {
  return geminiCall(model, 'countTokens');
}

/** Where it is asked, behind the prefix of the API; the model is the caller's word, half a character too, and stays one segment. */
export function geminiPath(model: string, isStream: boolean): string {
  return geminiCall(model, isStream ? 'streamGenerateContent' : 'generateContent');
}

/** Without it a stream is one JSON array. */
export function geminiQuery(isStream: boolean): string {
  return isStream ? 'alt=sse' : '';
}

/** From Gemini 3 on more than one is a 400 (github.com/googleapis/js-genai/issues/1609): the next target may have them. */
function writeChoices({ choices }: Conversation, model: string, config: GenerationConfig): void {
  if (choices === null || choices.value <= 1) return;
  if (geminiTraits(model).isThird)
    throw untranslatable(choices.field, 'from Gemini 3 on a model gives one answer at a time');
  config.candidateCount = choices.value;
}

function writeLimit({ maxTokens }: Conversation, losses: Losses, config: GenerationConfig): void {
  if (maxTokens === null) return;
  // Anthropic's way to warm a cache: here at least one token has to be asked for.
  const value = Math.max(1, maxTokens.value);
  if (value !== maxTokens.value) losses.adjust(maxTokens, value);
  config.maxOutputTokens = value;
}

// ---- tools -------------------------------------------------------------------------------------------------------------

function writeTools(
  said: Conversation,
  losses: Losses,
  names: ToolNames,
  body: GeminiRequest,
): void {
  const tools = droppedHosted(said, losses);
  if (tools.length === 0) return;
  body.tools = [{ functionDeclarations: tools.map((tool) => writeTool(tool, names)) }];
  const calling = writeCalling(said, tools, names);
  if (calling !== null) body.toolConfig = { functionCallingConfig: calling };
  if (said.parallelCalls?.value === false) losses.drop(said.parallelCalls);
}

function writeTool({ name, description, schema }: FunctionTool, names: ToolNames) {
  const declared: FunctionDeclaration = {
    name: names.given(name),
    ...(description === null ? {} : { description }),
    ...(schema === null ? {} : { parametersJsonSchema: withoutDialect(schema) }),
  };
  return declared;
}

/** Which JSON schema it is written in is no part of Gemini's subset of it. */
function withoutDialect(schema: JsonObject): Record<string, unknown> {
  const { $schema: _, ...kept } = schema;
  return kept;
}

/** Where a tool is strict, its calls are held to their schema, as forced ones are anyway. */
function writeCalling(
  { toolChoice }: Conversation,
  tools: readonly FunctionTool[],
  names: ToolNames,
): FunctionCalling | null {
  switch (toolChoice?.kind) {
    case undefined:
    case 'auto':
      return tools.some(({ isStrict }) => isStrict) ? { mode: 'VALIDATED' } : null;
    case 'none':
      return { mode: 'NONE' };
    case 'any':
      return { mode: 'ANY' };
    case 'named':
      return { mode: 'ANY', allowedFunctionNames: [names.given(toolChoice.name)] };
    case 'allowed':
      return {
        mode: toolChoice.isForced ? 'ANY' : 'VALIDATED',
        allowedFunctionNames: toolChoice.names.map((name) => names.given(name)),
      };
  }
}

// ---- settings ----------------------------------------------------------------------------------------------------------

function writeSampling(said: Conversation, losses: Losses, config: GenerationConfig): void {
  const put = (
    field: 'temperature' | 'topP' | 'topK' | 'seed' | 'frequencyPenalty' | 'presencePenalty',
    wish: Wish<number> | null,
  ) => {
    if (wish !== null) config[field] = wish.value;
  };
  put('temperature', said.temperature);
  put('topP', said.topP);
  put('topK', said.topK);
  put('seed', said.seed);
  put('frequencyPenalty', said.frequencyPenalty);
  put('presencePenalty', said.presencePenalty);
  if (said.logprobs !== null) losses.drop(said.logprobs);
  if (said.verbosity !== null && said.verbosity.value !== 'medium') losses.drop(said.verbosity);
  const { stops } = said;
  if (stops === null) return;
  config.stopSequences = stops.value.slice(0, STOPS_MAX);
  if (stops.value.length > STOPS_MAX) losses.drop(stops);
}

function writeFormat({ format }: Conversation, config: GenerationConfig): void {
  if (format === null) return;
  config.responseMimeType = 'application/json';
  const { value } = format;
  if (value.kind === 'schema') config.responseJsonSchema = withoutDialect(value.schema);
}

/** What everybody gets is not asked for by name. */
function writeTier({ tier }: Conversation, losses: Losses, body: GeminiRequest): void {
  if (tier === null || tier.value === 'auto' || tier.value === 'default') return;
  if (tier.value === 'scale') losses.drop(tier);
  else body.serviceTier = tier.value;
}

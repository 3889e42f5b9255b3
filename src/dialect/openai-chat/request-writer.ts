import {
  type AudioPart,
  type Conversation,
  isMedia,
  type MediaPart,
  type Part,
  type ResultPart,
  type Thinking,
  type Turn,
  type Wish,
} from '../conversation.ts';
import { dataUrl, inlineText } from '../data-url.ts';
import { type Losses, misplaced, untranslatable } from '../losses.ts';
import { type ChatTraits, chatTraits } from '../openai-models.ts';
import { droppedHosted } from '../tool-choices.ts';
import { boundedName, type ToolNames } from '../wire-names.ts';
import {
  asRecord,
  type ChatCall,
  type ChatMessage,
  type ChatRequest,
  type ChatText,
  type ChatToolChoice,
  type ChatUserPart,
} from './shapes.ts';

/** OpenAI takes four (API reference, `stop`). */
const STOPS_MAX = 4;
/** Of `user` and its like (API reference). */
const USER_MAX_CHARS = 128;

/** What a conversation is written for. */
export interface ChatTarget {
  readonly provider: string;
  readonly model: string;
  /** A stream's usage has to be asked for. */
  readonly asksForUsage: boolean;
}

/** @throws Refusal */
export function writeChatRequest(
  said: Conversation,
  target: ChatTarget,
  losses: Losses,
  names: ToolNames,
): ChatRequest {
  const traits = chatTraits(target.provider, target.model);
  const body: ChatRequest = { model: target.model, messages: writeTurns(said, traits, names) };
  writeLimit(said, traits, losses, body);
  writeTools(said, losses, names, body);
  const effort = writeEffort(said, traits, losses, body);
  writeSampling(said, traits, effort, losses, body);
  writeVerbosity(said, traits, losses, body);
  writeFormat(said, body);
  if (said.tier !== null) body.service_tier = said.tier.value;
  if (said.user !== null) body.user = boundedName(said.user, USER_MAX_CHARS);
  if (said.isStream) {
    body.stream = true;
    if (target.asksForUsage) body.stream_options = { include_usage: true };
  }
  for (const field of said.ownFields) losses.drop(field);
  return body;
}

function writeLimit(
  { maxTokens }: Conversation,
  { limitField }: ChatTraits,
  losses: Losses,
  body: ChatRequest,
): void {
  if (maxTokens === null) return;
  // Anthropic's way to warm a cache: here at least one token has to be asked for.
  const value = Math.max(1, maxTokens.value);
  if (value !== maxTokens.value) losses.adjust(maxTokens, value);
  body[limitField] = value;
}

// ---- messages ----------------------------------------------------------------------------------------------------------

function writeTurns(said: Conversation, traits: ChatTraits, names: ToolNames): ChatMessage[] {
  return said.turns.flatMap((turn): ChatMessage[] => {
    if (turn.role === 'system') return writeSystem(turn, traits);
    return turn.role === 'user' ? writeUser(turn, traits) : writeAssistant(turn, traits, names);
  });
}

function writeSystem({ parts }: Turn, traits: ChatTraits): ChatMessage[] {
  refuseMedia(parts, 'system');
  const texts = parts.flatMap((part) => (part.kind === 'text' ? [chatText(part, traits)] : []));
  const [first] = texts;
  if (first === undefined) return [];
  const isPlain = texts.length === 1 && first.prompt_cache_breakpoint === undefined;
  return [{ role: 'system', content: isPlain ? first.text : texts }];
}

function chatText(
  { text, cache }: Extract<Part, { kind: 'text' }>,
  { breakpoints }: ChatTraits,
): ChatText {
  if (cache === null || !breakpoints) return { type: 'text', text };
  return { type: 'text', text, prompt_cache_breakpoint: { mode: 'explicit' } };
}

function refuseMedia(parts: readonly Part[], role: Turn['role']): void {
  for (const part of parts) if (isMedia(part)) throw misplaced(part, role);
}

/** Results first, each a message of its own; pictures in them behind all of them, since a result is text alone. */
function writeUser({ parts }: Turn, traits: ChatTraits): ChatMessage[] {
  const results = parts.filter((part) => part.kind === 'result');
  const beside = results.flatMap((result) => result.parts.filter(isMedia));
  const content: ChatUserPart[] = [
    ...beside.map(writeMedia),
    ...parts.flatMap((part) => writeUserPart(part, traits)),
  ];
  const messages = results.map(writeResult);
  const [first] = content;
  if (first === undefined) return messages;
  const isPlain = content.length === 1 && first.type === 'text';
  const isMarked = isPlain && first.prompt_cache_breakpoint !== undefined;
  messages.push({ role: 'user', content: isPlain && !isMarked ? first.text : content });
  return messages;
}

function writeUserPart(part: Part, traits: ChatTraits): ChatUserPart[] {
  switch (part.kind) {
    case 'text':
      return part.text === '' ? [] : [chatText(part, traits)];
    case 'image':
    case 'document':
    case 'audio':
      return [writeMedia(part)];
    default:
      return [];
  }
}

function writeAudio({ field, format, base64 }: AudioPart): ChatUserPart {
  if (format !== 'wav' && format !== 'mp3')
    throw untranslatable(field, `audio of format ${format} has no place on OpenAI's wire`);
  return { type: 'input_audio', input_audio: { data: base64, format } };
}

function writeMedia(part: MediaPart): ChatUserPart {
  if (part.kind === 'audio') return writeAudio(part);
  const { media } = part;
  if (part.kind === 'image') {
    const url = part.media.from === 'url' ? part.media.url : dataUrl(part.media);
    const { detail } = part;
    return { type: 'image_url', image_url: { url, ...(detail === null ? {} : { detail }) } };
  }
  if (media.from === 'url')
    throw untranslatable('document', "OpenAI's chat wire takes no URL of a document");
  if (media.from === 'text') return { type: 'text', text: media.text };
  if (media.type.startsWith('text/')) return { type: 'text', text: inlineText(media) };
  const filename = part.title ?? 'document';
  return { type: 'file', file: { filename, file_data: dataUrl(media) } };
}

function writeResult({ id, parts, isError }: ResultPart): ChatMessage {
  const texts = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : []));
  const text = texts.join('\n');
  const hasMore = parts.length > texts.length;
  const content = text === '' && hasMore ? `Its content follows: ${id}.` : text;
  // OpenAI has no mark for a tool that failed; the words are what the model reads.
  const isTold = !isError || /^\s*error/i.test(content);
  return { role: 'tool', tool_call_id: id, content: isTold ? content : `Error: ${content}` };
}

function writeAssistant({ parts }: Turn, traits: ChatTraits, names: ToolNames): ChatMessage[] {
  refuseMedia(parts, 'assistant');
  const text = parts.flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join('');
  const calls = parts.flatMap((part): ChatCall[] => {
    if (part.kind !== 'call') return [];
    const { id, name, input } = part;
    const told = { name: names.given(name), arguments: input === '' ? '{}' : input };
    return [{ id, type: 'function', function: told }];
  });
  if (text === '' && calls.length === 0) return [];
  const thoughts = parts.flatMap((part) => (part.kind === 'thought' ? [part.text] : [])).join('');
  const isWanted = traits.wantsThoughtsBack && (thoughts !== '' || calls.length > 0);
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(isWanted ? { reasoning_content: thoughts } : {}),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    },
  ];
}

// ---- settings ----------------------------------------------------------------------------------------------------------

function writeTools(said: Conversation, losses: Losses, names: ToolNames, body: ChatRequest): void {
  const tools = droppedHosted(said, losses);
  if (tools.length === 0) return;
  body.tools = tools.map(({ name, description, schema, isStrict }) => {
    const { $schema: _, ...parameters } = asRecord(schema ?? {});
    return {
      type: 'function',
      function: {
        name: names.given(name),
        ...(description === null ? {} : { description }),
        ...(schema === null ? {} : { parameters }),
        ...(isStrict ? { strict: true } : {}),
      },
    };
  });
  const choice = writeToolChoice(said, names);
  if (choice !== null) body.tool_choice = choice;
  if (said.parallelCalls !== null) body.parallel_tool_calls = said.parallelCalls.value;
}

function writeToolChoice({ toolChoice }: Conversation, names: ToolNames): ChatToolChoice | null {
  switch (toolChoice?.kind) {
    case undefined:
      return null;
    case 'auto':
    case 'none':
      return toolChoice.kind;
    case 'any':
      return 'required';
    case 'named':
      return { type: 'function', function: { name: names.given(toolChoice.name) } };
    case 'allowed': {
      const tools = toolChoice.names.map((name) => ({
        type: 'function',
        function: { name: names.given(name) },
      }));
      const mode = toolChoice.isForced ? 'required' : 'auto';
      return { type: 'allowed_tools', allowed_tools: { mode, tools } };
    }
  }
}

type ChatEffort = ChatRequest['reasoning_effort'];

/** @returns what was written; undefined: nothing */
function writeEffort(
  said: Conversation,
  traits: ChatTraits,
  losses: Losses,
  body: ChatRequest,
): ChatEffort {
  const effort = effortFor(said, traits, losses);
  if (effort !== undefined) body.reasoning_effort = effort;
  return effort;
}

function effortFor(said: Conversation, traits: ChatTraits, losses: Losses): ChatEffort {
  const { efforts } = traits;
  const { thinking } = said;
  const isOff = thinking === null || thinking.value.kind === 'off';
  if (traits.toolsWantNoEffort && said.tools.some(({ kind }) => kind === 'function')) {
    if (!isOff) losses.drop(thinking);
    return 'none';
  }
  if (thinking === null) return undefined;
  if (isOff) {
    const [least] = efforts;
    return least === 'none' || least === 'minimal' ? least : undefined;
  }
  if (efforts.length === 0) {
    losses.drop(thinking);
    return undefined;
  }
  return nearestEffort(thinking, efforts, losses);
}

/** Google's thresholds, which others have taken over. */
const MEDIUM_FROM_TOKENS = 8_192;
const HIGH_FROM_TOKENS = 24_576;

const LADDER = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;

function wantedEffort(thinking: Thinking): (typeof LADDER)[number] {
  if (thinking.kind === 'budget') {
    if (thinking.tokens >= HIGH_FROM_TOKENS) return 'high';
    return thinking.tokens >= MEDIUM_FROM_TOKENS ? 'medium' : 'low';
  }
  return (thinking.kind === 'effort' ? thinking.effort : null) ?? 'medium';
}

/** The one that was asked for, else the next lower one, else the least. */
function nearestEffort(
  wish: Wish<Thinking>,
  efforts: ChatTraits['efforts'],
  losses: Losses,
): ChatEffort {
  const wanted = wantedEffort(wish.value);
  const lower = LADDER.slice(0, LADDER.indexOf(wanted) + 1).reverse();
  const found = lower.find((effort) => efforts.includes(effort)) ?? 'low';
  if (found !== wanted && wanted !== 'minimal') losses.adjust(wish, found);
  return found === 'max' ? 'xhigh' : found;
}

function writeSampling(
  said: Conversation,
  { sampling }: ChatTraits,
  effort: ChatEffort,
  losses: Losses,
  body: ChatRequest,
): void {
  const { temperature, topP, topK, seed, frequencyPenalty, presencePenalty } = said;
  const isTaken = sampling === 'always' || (sampling === 'at-effort-none' && effort === 'none');
  const put = (
    field: 'temperature' | 'top_p' | 'frequency_penalty' | 'presence_penalty',
    wish: Wish<number> | null,
    byDefault: number,
  ) => {
    if (wish === null) return;
    if (isTaken) body[field] = wish.value;
    else if (wish.value !== byDefault) losses.drop(wish);
  };
  put('temperature', temperature, 1);
  put('top_p', topP, 1);
  put('frequency_penalty', frequencyPenalty, 0);
  put('presence_penalty', presencePenalty, 0);
  if (topK !== null) losses.drop(topK);
  if (seed !== null) body.seed = seed.value;
  if (said.choices !== null && said.choices.value > 1) body.n = said.choices.value;
  if (said.logprobs !== null) losses.drop(said.logprobs);
  const { stops } = said;
  if (stops === null) return;
  body.stop = stops.value.slice(0, STOPS_MAX);
  if (stops.value.length > STOPS_MAX) losses.drop(stops);
}

function writeVerbosity(
  { verbosity }: Conversation,
  traits: ChatTraits,
  losses: Losses,
  body: ChatRequest,
): void {
  if (verbosity === null) return;
  if (traits.verbosity) body.verbosity = verbosity.value;
  else if (verbosity.value !== 'medium') losses.drop(verbosity);
}

function writeFormat({ format }: Conversation, body: ChatRequest): void {
  if (format === null) return;
  const { value } = format;
  if (value.kind === 'json') {
    body.response_format = { type: 'json_object' };
    return;
  }
  body.response_format = {
    type: 'json_schema',
    json_schema: {
      name: value.name ?? 'output',
      schema: asRecord(value.schema),
      ...(value.isStrict ? { strict: true } : {}),
    },
  };
}

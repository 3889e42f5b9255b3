import type { ClaudeTraits } from '../claude-models.ts';
import {
  type AudioPart,
  type CacheLife,
  type Conversation,
  type DocumentPart,
  type ImagePart,
  isMedia,
  type Part,
  type ResultPart,
  type TextPart,
  type Turn,
} from '../conversation.ts';
import { inlineText } from '../data-url.ts';
import { parsedObject } from '../json-values.ts';
import { misplaced, type Refusal, untranslatable } from '../losses.ts';
import { plainId, type ToolNames } from '../wire-names.ts';
import type {
  Block,
  CacheControl,
  DocumentBlock,
  ImageBlock,
  Markable,
  Message,
  MessagesRequest,
  TextBlock,
  ToolResultBlock,
} from './shapes.ts';

/** Anthropic takes four (API reference, "Prompt caching"). */
const MARKS_MAX = 4;

/**
 * Signatures cover everything that stands before them, and so does the prompt's cache: a later instruction is never moved to
 * the front, tools keep their order, and the same history gives the same bytes.
 */
export function writeConversation(
  { turns }: Conversation,
  traits: ClaudeTraits,
  names: ToolNames,
): { readonly system: TextBlock[]; readonly messages: Message[] } {
  const first = turns.findIndex(({ role }) => role !== 'system');
  const system = (first < 0 ? turns : turns.slice(0, first)).flatMap(textsOf);
  const messages: Message[] = [];
  let waiting: TextBlock[] = [];
  for (const turn of first < 0 ? [] : turns.slice(first)) {
    if (turn.role === 'system') {
      const last = messages.at(-1)?.role;
      if (traits.systemInPlace && (last === 'user' || last === 'system') && waiting.length === 0)
        append(messages, 'system', textsOf(turn));
      else waiting.push(...textsOf(turn));
      continue;
    }
    const blocks = writeBlocks(turn, names);
    const isUser = turn.role === 'user';
    append(messages, turn.role, isUser ? resultsFirst([...waiting, ...blocks]) : blocks);
    if (isUser) waiting = [];
  }
  append(messages, 'user', waiting);
  trimEnd(messages);
  return { system, messages };
}

/** Neighbours of one role are one message; a message of nothing is none. */
function append(messages: Message[], role: Message['role'], blocks: Block[]): void {
  if (blocks.length === 0) return;
  const last = messages.at(-1);
  if (last?.role !== role) messages.push({ role, content: blocks } as Message);
  else {
    const content: Block[] = [...last.content, ...blocks];
    const joined = role === 'user' ? resultsFirst(content) : content;
    messages[messages.length - 1] = { role, content: joined } as Message;
  }
}

/** A call's results open the turn behind it, or it is a 400. */
function resultsFirst(blocks: Block[]): Block[] {
  const isResult = ({ type }: Block) => type === 'tool_result';
  return [...blocks.filter(isResult), ...blocks.filter((block) => !isResult(block))];
}

/** The last text of a last turn of the assistant's must not end in white space. */
function trimEnd(messages: Message[]): void {
  const last = messages.at(-1);
  const block = last?.content.at(-1);
  if (last?.role !== 'assistant' || block?.type !== 'text') return;
  last.content.pop();
  const text = block.text.trimEnd();
  if (text !== '') last.content.push({ ...block, text });
  if (last.content.length === 0) messages.pop();
}

/** Of an instruction. */
function textsOf({ parts }: Turn): TextBlock[] {
  for (const part of parts) if (isMedia(part)) throw misplaced(part, 'system');
  return parts.flatMap((part) => (part.kind === 'text' && part.text !== '' ? [text(part)] : []));
}

function text({ text, cache }: TextPart): TextBlock {
  return { type: 'text', text, ...cacheControl(cache) };
}

/** Thoughts open a turn; what is not sealed by Anthropic never reaches it. */
function writeBlocks({ parts }: Turn, names: ToolNames): Block[] {
  return parts.flatMap((part) => writePart(part, names));
}

function writePart(part: Part, names: ToolNames): Block[] {
  switch (part.kind) {
    case 'text':
      return part.text === '' ? [] : [text(part)];
    case 'image':
      return [image(part)];
    case 'document':
      return [document(part)];
    case 'audio':
      throw noAudio(part);
    case 'thought':
      if (part.seal?.maker !== 'anthropic') return [];
      return [{ type: 'thinking', thinking: part.text, signature: part.seal.data }];
    case 'redacted':
      if (part.seal.maker !== 'anthropic') return [];
      return [{ type: 'redacted_thinking', data: part.seal.data }];
    case 'call':
      return [
        {
          type: 'tool_use',
          id: plainId(part.id),
          name: names.given(part.name),
          // What is no object is what a cut answer left: better no arguments than no conversation.
          input: parsedObject(part.input) ?? {},
          ...cacheControl(part.cache),
        },
      ];
    case 'result':
      return [result(part)];
  }
}

function noAudio({ field }: AudioPart): Refusal {
  return untranslatable(field, 'Claude takes no audio');
}

type ImageType = 'image/jpeg' | 'image/png' | 'image/gif' | 'image/webp';

function image({ media, cache }: ImagePart): ImageBlock {
  const source: ImageBlock['source'] =
    media.from === 'url'
      ? { type: 'url', url: media.url }
      : // What it does not take it refuses by itself, and says so better.
        { type: 'base64', media_type: media.type as ImageType, data: media.base64 };
  return { type: 'image', source, ...cacheControl(cache) };
}

function document({ media, title, cache }: DocumentPart): DocumentBlock {
  return {
    type: 'document',
    source: documentSource(media),
    ...(title === null ? {} : { title }),
    ...cacheControl(cache),
  };
}

function documentSource(media: DocumentPart['media']): DocumentBlock['source'] {
  if (media.from === 'url') return { type: 'url', url: media.url };
  if (media.from === 'text') return { type: 'text', media_type: 'text/plain', data: media.text };
  if (media.type === 'application/pdf')
    return { type: 'base64', media_type: 'application/pdf', data: media.base64 };
  if (media.type.startsWith('text/'))
    return { type: 'text', media_type: 'text/plain', data: inlineText(media) };
  throw untranslatable('file_data', `Claude takes PDF and text, not ${media.type}`);
}

function result({ id, parts, isError, cache }: ResultPart): ToolResultBlock {
  const content = parts.flatMap((part): (TextBlock | ImageBlock | DocumentBlock)[] => {
    if (part.kind === 'text') return part.text === '' ? [] : [text(part)];
    if (part.kind === 'audio') throw noAudio(part);
    return [part.kind === 'image' ? image(part) : document(part)];
  });
  return {
    type: 'tool_result',
    tool_use_id: plainId(id),
    ...(content.length === 0 ? {} : { content }),
    ...(isError ? { is_error: true } : {}),
    ...cacheControl(cache),
  };
}

export function cacheControl(cache: CacheLife | null): { cache_control?: CacheControl } {
  if (cache === null) return {};
  return { cache_control: { type: 'ephemeral', ...(cache === '1h' ? { ttl: cache } : {}) } };
}

/** The last ones are worth most: each covers what the earlier ones do. */
export function boundMarks({ tools, system, messages }: MessagesRequest): void {
  const marked: Markable[] = [
    ...(tools ?? []),
    ...(system ?? []),
    ...messages.flatMap(({ content }): Block[] => content),
  ].filter((block): block is Markable & typeof block => 'cache_control' in block);
  for (const block of marked.slice(0, Math.max(0, marked.length - MARKS_MAX)))
    delete block.cache_control;
}

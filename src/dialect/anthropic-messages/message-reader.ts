import {
  type CacheLife,
  isMedia,
  type Media,
  type MediaPart,
  type Part,
  type ResultPart,
  type TextPart,
  type Turn,
} from '../conversation.ts';
import { mediaOf } from '../data-url.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { sealOf } from '../seals.ts';

/** What Anthropic's own tools left in a history, or says of them: nobody else can read it, and the texts between stay. */
const OF_HOSTED_TOOLS =
  /^(?:server_tool_use|mcp_tool_use|mcp_tool_listing|tool_reference|tool_addition|tool_removal)$|_tool_result$/;

/** Where content stands: whose turn it is, in what a tool answered, or in a document. */
type Place = Turn['role'] | 'result' | 'document';

/** Blocks that Anthropic itself takes at some places alone. What is not here stands anywhere. */
const PLACES: ReadonlyMap<string, readonly Place[]> = new Map<string, readonly Place[]>([
  ['image', ['user', 'assistant', 'result', 'document']],
  ['document', ['user', 'assistant', 'result']],
  ['search_result', ['user', 'assistant', 'result']],
  ['tool_use', ['assistant']],
  ['thinking', ['assistant']],
  ['redacted_thinking', ['assistant']],
  ['tool_result', ['user']],
]);
const PLACE_NAMES: Readonly<Record<Place, string>> = {
  system: 'an instruction',
  user: "a user's turn",
  assistant: "an assistant's turn",
  result: 'a tool_result',
  document: 'a document',
};

/**
 * @param lost takes the names of what no other wire has a place for: `citations`, `messages.server_tool_use`
 * @throws Refusal
 */
export function readMessages(messages: readonly unknown[], lost: Set<string>): readonly Turn[] {
  return messages.map((message, index) => {
    const field = `messages[${index}]`;
    if (!isObject(message)) throw malformed(field, 'expected an object');
    const { role } = message;
    if (role !== 'user' && role !== 'assistant' && role !== 'system')
      throw malformed(
        `${field}.role`,
        `expected user or assistant, found ${JSON.stringify(role) ?? 'none'}`,
      );
    return { role, parts: readContent(message['content'], `${field}.content`, role, lost) };
  });
}

/** A string or a list of blocks, as contents, systems and results have. */
export function readContent(
  content: unknown,
  field: string,
  place: Place,
  lost: Set<string>,
): readonly Part[] {
  if (content === undefined || content === null || content === '') return [];
  if (typeof content === 'string') return [{ kind: 'text', text: content, cache: null }];
  if (!Array.isArray(content)) throw malformed(field, 'expected a text or a list of blocks');
  return content.flatMap((block, index) => readBlock(block, `${field}[${index}]`, place, lost));
}

function readBlock(
  block: unknown,
  field: string,
  place: Place,
  lost: Set<string>,
): readonly Part[] {
  if (!isObject(block)) throw malformed(field, 'expected an object');
  const type = textIn(block, 'type') ?? '';
  const cache = cacheLifeOf(block);
  if (PLACES.get(type)?.includes(place) === false)
    throw malformed(`${field}.type`, `${PLACE_NAMES[place]} holds no ${type}`);
  if (objectIn(block, 'citations')?.['enabled'] === true) lost.add('citations');
  switch (type) {
    case 'text':
      return [readText(block, field, cache)];
    case 'image':
      return [{ kind: 'image', media: readSource(block, field), detail: null, cache }];
    case 'document':
      return readDocument(block, field, cache, lost);
    case 'search_result':
      return [readSearchResult(block, cache)];
    case 'thinking': {
      const signature = textIn(block, 'signature') ?? '';
      const seal = sealOf('anthropic', signature);
      return [{ kind: 'thought', text: textIn(block, 'thinking') ?? '', seal }];
    }
    case 'redacted_thinking': {
      const seal = sealOf('anthropic', textIn(block, 'data') ?? '');
      return seal === null ? [] : [{ kind: 'redacted', seal }];
    }
    case 'tool_use':
      return [readCall(block, field, cache)];
    case 'tool_result':
      return [readResult(block, field, cache, lost)];
    case 'compaction':
      return readCompaction(block, cache);
    case 'container_upload':
      throw untranslatable(`${field}.file_id`, STORED);
    case 'fallback':
      // Which model went on with the turn: the turn itself is there.
      return [];
    default:
      if (OF_HOSTED_TOOLS.test(type)) {
        lost.add(`messages.${type}`);
        return [];
      }
      throw untranslatable(
        `${field}.type`,
        `a block of type ${JSON.stringify(type)} has no place on another wire`,
      );
  }
}

function readText(block: JsonObject, field: string, cache: CacheLife | null): TextPart {
  const text = textIn(block, 'text');
  if (text === null) throw malformed(`${field}.text`, 'expected a text');
  return { kind: 'text', text, cache };
}

/** What stands in place of the turns before it, in words. */
function readCompaction(block: JsonObject, cache: CacheLife | null): readonly TextPart[] {
  const text = textIn(block, 'content') ?? '';
  return text === '' ? [] : [{ kind: 'text', text, cache }];
}

const STORED = "a file lives in one provider's account";

/** Text with its title and where it is from: no other wire has such parts. */
function readSearchResult(block: JsonObject, cache: CacheLife | null): TextPart {
  const texts = listIn(block, 'content').map((part) =>
    isObject(part) ? textIn(part, 'text') : null,
  );
  const lines = [textIn(block, 'title'), textIn(block, 'source'), ...texts];
  return { kind: 'text', text: lines.filter((line) => line !== null).join('\n'), cache };
}

function readSource(block: JsonObject, field: string): Media {
  const source = objectIn(block, 'source') ?? {};
  const url = textIn(source, 'url');
  if (source['type'] === 'url' && url !== null) {
    const media = mediaOf(url);
    if (media?.from !== 'url') throw malformed(`${field}.source.url`, 'expected a URL');
    return media;
  }
  const base64 = textIn(source, 'data');
  const type = textIn(source, 'media_type');
  if (source['type'] === 'base64' && base64 !== null && type !== null)
    return { from: 'inline', type, base64 };
  if (source['type'] === 'file') throw untranslatable(`${field}.source.file_id`, STORED);
  throw malformed(`${field}.source`, 'expected base64 or url');
}

function readDocument(
  block: JsonObject,
  field: string,
  cache: CacheLife | null,
  lost: Set<string>,
): readonly (TextPart | MediaPart)[] {
  const source = objectIn(block, 'source') ?? {};
  const title = textIn(block, 'title');
  if ((textIn(block, 'context') ?? '') !== '') lost.add('messages.document.context');
  if (source['type'] === 'content')
    return readContent(source['content'], `${field}.source.content`, 'document', lost).filter(
      isShown,
    );
  const text = textIn(source, 'data');
  const media =
    source['type'] === 'text' && text !== null
      ? { from: 'text' as const, text }
      : readSource(block, field);
  return [{ kind: 'document', media, title, cache }];
}

function isShown(part: Part): part is TextPart | MediaPart {
  return part.kind === 'text' || isMedia(part);
}

function readCall(block: JsonObject, field: string, cache: CacheLife | null): Part {
  const id = textIn(block, 'id');
  const name = textIn(block, 'name');
  if (id === null || name === null) throw malformed(field, 'expected an id and a name');
  return { kind: 'call', id, name, input: JSON.stringify(block['input'] ?? {}), cache };
}

function readResult(
  block: JsonObject,
  field: string,
  cache: CacheLife | null,
  lost: Set<string>,
): ResultPart {
  const id = textIn(block, 'tool_use_id');
  if (id === null) throw malformed(`${field}.tool_use_id`, 'expected an id');
  const parts = readContent(block['content'], `${field}.content`, 'result', lost).filter(isShown);
  return { kind: 'result', id, parts, isError: block['is_error'] === true, cache };
}

export function cacheLifeOf(value: JsonObject): CacheLife | null {
  const control = objectIn(value, 'cache_control');
  if (control === null) return null;
  return control['ttl'] === '1h' ? '1h' : '5m';
}

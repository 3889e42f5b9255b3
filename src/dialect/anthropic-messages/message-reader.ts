import type {
  CacheLife,
  DocumentPart,
  ImagePart,
  Media,
  Part,
  ResultPart,
  TextPart,
  Turn,
} from '../conversation.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { sealOf } from '../seals.ts';

/** What Anthropic's own tools left in a history: nobody else can read it, and the texts between stay. */
const OF_HOSTED_TOOLS =
  /^(?:server_tool_use|mcp_tool_use|compaction|container_upload|tool_reference)$|_tool_result$/;

/**
 * @param citing takes `citations` where a part asks for them: no other wire has them
 * @throws Refusal
 */
export function readMessages(messages: readonly unknown[], citing: Set<string>): readonly Turn[] {
  return messages.map((message, index) => {
    const field = `messages[${index}]`;
    if (!isObject(message)) throw malformed(field, 'expected an object');
    const { role } = message;
    if (role !== 'user' && role !== 'assistant' && role !== 'system')
      throw malformed(
        `${field}.role`,
        `expected user or assistant, found ${JSON.stringify(role) ?? 'none'}`,
      );
    return { role, parts: readContent(message['content'], `${field}.content`, citing) };
  });
}

/** A string or a list of blocks, as contents, systems and results have. */
export function readContent(
  content: unknown,
  field: string,
  citing: Set<string> = new Set(),
): readonly Part[] {
  if (content === undefined || content === null || content === '') return [];
  if (typeof content === 'string') return [{ kind: 'text', text: content, cache: null }];
  if (!Array.isArray(content)) throw malformed(field, 'expected a text or a list of blocks');
  return content.flatMap((block, index) => readBlock(block, `${field}[${index}]`, citing));
}

function readBlock(block: unknown, field: string, citing: Set<string>): readonly Part[] {
  if (!isObject(block)) throw malformed(field, 'expected an object');
  const type = textIn(block, 'type') ?? '';
  const cache = cacheLifeOf(block);
  if (objectIn(block, 'citations')?.['enabled'] === true) citing.add('citations');
  switch (type) {
    case 'text':
      return [readText(block, field, cache)];
    case 'image':
      return [{ kind: 'image', media: readSource(block, field), detail: null, cache }];
    case 'document':
      return readDocument(block, field, cache);
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
      return [readResult(block, field, cache, citing)];
    default:
      if (OF_HOSTED_TOOLS.test(type)) return [];
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
  if (source['type'] === 'url' && url !== null) return { from: 'url', url };
  const base64 = textIn(source, 'data');
  const type = textIn(source, 'media_type');
  if (source['type'] === 'base64' && base64 !== null && type !== null)
    return { from: 'inline', type, base64 };
  if (source['type'] === 'file')
    throw untranslatable(`${field}.source.file_id`, "a file lives in one provider's account");
  throw malformed(`${field}.source`, 'expected base64 or url');
}

function readDocument(
  block: JsonObject,
  field: string,
  cache: CacheLife | null,
): readonly (TextPart | ImagePart | DocumentPart)[] {
  const source = objectIn(block, 'source') ?? {};
  const title = textIn(block, 'title');
  if (source['type'] === 'content') return readContent(source['content'], field).filter(isShown);
  const text = textIn(source, 'data');
  const media =
    source['type'] === 'text' && text !== null
      ? { from: 'text' as const, text }
      : readSource(block, field);
  return [{ kind: 'document', media, title, cache }];
}

function isShown(part: Part): part is TextPart | ImagePart | DocumentPart {
  return part.kind === 'text' || part.kind === 'image' || part.kind === 'document';
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
  citing: Set<string>,
): ResultPart {
  const id = textIn(block, 'tool_use_id');
  if (id === null) throw malformed(`${field}.tool_use_id`, 'expected an id');
  const parts = readContent(block['content'], `${field}.content`, citing).filter(isShown);
  return { kind: 'result', id, parts, isError: block['is_error'] === true, cache };
}

export function cacheLifeOf(value: JsonObject): CacheLife | null {
  const control = objectIn(value, 'cache_control');
  if (control === null) return null;
  return control['ttl'] === '1h' ? '1h' : '5m';
}

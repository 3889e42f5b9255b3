import type { CacheLife, MediaPart, Part, TextPart, Turn } from '../conversation.ts';
import { mediaOf } from '../data-url.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { sealOf } from '../seals.ts';
import { detailOf, listAt } from '../wishes.ts';
import { cacheLifeOf } from './cache-marks.ts';

type ContentPart = TextPart | MediaPart;

/**
 * @param lost takes the names of what no other wire has a place for
 * @throws Refusal
 */
export function readMessages(messages: readonly unknown[], lost: Set<string>): readonly Turn[] {
  return messages.map((message, index) => readMessage(message, `messages[${index}]`, lost));
}

function readMessage(message: unknown, field: string, lost: Set<string>): Turn {
  if (!isObject(message)) throw malformed(field, 'expected an object');
  const cache = cacheLifeOf(message);
  switch (message['role']) {
    case 'system':
    case 'developer':
      return { role: 'system', parts: marked(readContent(message, field), cache) };
    case 'user':
      return { role: 'user', parts: marked(readContent(message, field), cache) };
    case 'assistant':
      return { role: 'assistant', parts: marked(readAssistant(message, field, lost), cache) };
    case 'tool':
      return { role: 'user', parts: [readResult(message, field, cache)] };
    case 'function':
      throw untranslatable(`${field}.role`, 'the old functions have no place on another wire');
    default:
      throw malformed(
        `${field}.role`,
        `expected system, developer, user, assistant or tool, found ${JSON.stringify(message['role']) ?? 'none'}`,
      );
  }
}

function readContent(message: JsonObject, field: string): readonly ContentPart[] {
  const { content } = message;
  if (content === undefined || content === null) return [];
  if (typeof content === 'string') return content === '' ? [] : [textPart(content, null)];
  if (!Array.isArray(content))
    throw malformed(`${field}.content`, 'expected a text or a list of parts');
  return content.map((part, index) => readPart(part, `${field}.content[${index}]`));
}

function textPart(text: string, cache: CacheLife | null): TextPart {
  return { kind: 'text', text, cache };
}

function readPart(part: unknown, field: string): ContentPart {
  if (typeof part === 'string') return textPart(part, null);
  if (!isObject(part)) throw malformed(field, 'expected an object');
  const cache = cacheLifeOf(part);
  switch (part['type']) {
    case 'text':
      return textPart(textOf(part, 'text', field), cache);
    case 'refusal':
      return textPart(textOf(part, 'refusal', field), cache);
    case 'image_url':
      return readImage(part, field, cache);
    case 'input_audio': {
      const audio = objectIn(part, 'input_audio') ?? {};
      const base64 = textOf(audio, 'data', `${field}.input_audio`);
      return {
        kind: 'audio',
        field: 'input_audio',
        format: textIn(audio, 'format') ?? 'wav',
        base64,
      };
    }
    case 'file':
      return readFile(objectIn(part, 'file') ?? {}, `${field}.file`, cache);
    default:
      throw untranslatable(
        `${field}.type`,
        `a part of type ${JSON.stringify(part['type']) ?? 'none'} has no place on another wire`,
      );
  }
}

function textOf(from: JsonObject, name: string, field: string): string {
  const text = textIn(from, name);
  if (text === null) throw malformed(`${field}.${name}`, 'expected a text');
  return text;
}

function readImage(part: JsonObject, field: string, cache: CacheLife | null): ContentPart {
  const { image_url: told } = part;
  const url = typeof told === 'string' ? told : isObject(told) ? textIn(told, 'url') : null;
  const media = url === null ? null : mediaOf(url);
  if (media === null) throw malformed(`${field}.image_url`, 'expected a URL');
  const detail = isObject(told) ? detailOf(told['detail']) : null;
  return { kind: 'image', media, detail, cache };
}

function readFile(file: JsonObject, field: string, cache: CacheLife | null): ContentPart {
  if (textIn(file, 'file_id') !== null)
    throw untranslatable('file_id', "a file lives in one provider's account");
  const title = textIn(file, 'filename');
  const media = mediaOf(textOf(file, 'file_data', field));
  if (media?.from !== 'inline') throw malformed(`${field}.file_data`, 'expected a data URL');
  return { kind: 'document', media, title, cache };
}

function readAssistant(message: JsonObject, field: string, lost: Set<string>): readonly Part[] {
  // Pictures that a model made, as OpenRouter tells them.
  if (listIn(message, 'images').length > 0) lost.add('messages.images');
  if (objectIn(message, 'audio') !== null)
    throw untranslatable(`${field}.audio`, "what was spoken lives in one provider's account");
  if (objectIn(message, 'function_call') !== null)
    throw untranslatable(
      `${field}.function_call`,
      'the old functions have no place on another wire: use tool_calls',
    );
  const refusal = textIn(message, 'refusal');
  return [
    ...readThoughts(message),
    ...readContent(message, field),
    ...(refusal === null || refusal === '' ? [] : [textPart(refusal, null)]),
    ...listAt(message, 'tool_calls', `${field}.tool_calls`).flatMap((call, index) => [
      ...readGoogleSeal(call),
      readCall(call, `${field}.tool_calls[${index}]`),
    ]),
    ...readGoogleSeal(message),
  ];
}

/** As Google's own OpenAI endpoint carries it; it belongs to what stands behind it. */
function readGoogleSeal(from: unknown): readonly Part[] {
  const extra = isObject(from) ? objectIn(from, 'extra_content') : null;
  const google = extra === null ? null : objectIn(extra, 'google');
  const data = google === null ? null : textIn(google, 'thought_signature');
  return data === null || data === ''
    ? []
    : [{ kind: 'redacted', seal: { maker: 'gemini', data } }];
}

/** Sealed ones as they came (LiteLLM's and Envoy's `thinking_blocks`), else the text that vendors name in two ways. */
function readThoughts(message: JsonObject): readonly Part[] {
  const blocks = listIn(message, 'thinking_blocks').flatMap((block): readonly Part[] => {
    if (!isObject(block)) return [];
    if (block['type'] === 'redacted_thinking') {
      const sealed = sealOf('anthropic', textIn(block, 'data') ?? '');
      return sealed === null ? [] : [{ kind: 'redacted', seal: sealed }];
    }
    const seal = sealOf('anthropic', textIn(block, 'signature') ?? '');
    return [{ kind: 'thought', text: textIn(block, 'thinking') ?? '', seal }];
  });
  if (blocks.length > 0) return blocks;
  const text = textIn(message, 'reasoning_content') ?? textIn(message, 'reasoning') ?? '';
  return text === '' ? [] : [{ kind: 'thought', text, seal: null }];
}

function readCall(call: unknown, field: string): Part {
  const told = isObject(call) ? objectIn(call, 'function') : null;
  if (!isObject(call) || told === null)
    throw untranslatable(field, 'a call that is no function has no place on another wire');
  return {
    kind: 'call',
    id: textOf(call, 'id', field),
    name: textOf(told, 'name', `${field}.function`),
    input: textIn(told, 'arguments') ?? '',
    cache: cacheLifeOf(call),
  };
}

function readResult(message: JsonObject, field: string, cache: CacheLife | null): Part {
  const parts = readContent(message, field);
  const id = textOf(message, 'tool_call_id', field);
  return { kind: 'result', id, parts, isError: false, cache };
}

/** A mark on a message is one on the last part that can have it. */
function marked(parts: readonly Part[], cache: CacheLife | null): readonly Part[] {
  const last = parts.at(-1);
  if (cache === null || last === undefined || !('cache' in last) || last.cache !== null)
    return parts;
  return [...parts.slice(0, -1), { ...last, cache }];
}

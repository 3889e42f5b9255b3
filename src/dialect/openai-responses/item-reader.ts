import type {
  CallPart,
  DocumentPart,
  ImagePart,
  MediaPart,
  Part,
  ResultPart,
  TextPart,
  Turn,
} from '../conversation.ts';
import { mediaOf } from '../data-url.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { cacheLifeOf } from '../openai-chat/cache-marks.ts';
import { detailOf } from '../wishes.ts';
import { thoughtOf } from './sealed-thoughts.ts';
import { qualifiedNameOf } from './tool-reader.ts';

type ContentPart = TextPart | MediaPart;

/** What OpenAI's own tools left in a history: nobody else can read it, and the texts between stay. */
const OF_HOSTED_TOOLS = /_call$|_call_output$|^mcp_|^program|^tool_search|^additional_tools$/;

/** What holds a history that only OpenAI can read: without it the question would be another one. */
const OF_A_HISTORY = /^(?:item_reference|compaction)/;

/**
 * `input`: one text, or items. A run of items of one side is one turn, as the other wires have it.
 * @param lost takes the names of items that no other wire has a place for
 * @throws Refusal
 */
export function readInput(input: unknown, lost: Set<string>): readonly Turn[] {
  if (typeof input === 'string' && input !== '')
    return [{ role: 'user', parts: [textPart(input)] }];
  if (!Array.isArray(input) || input.length === 0)
    throw malformed('input', 'expected a text or a list of at least one item');
  const turns: { readonly role: Turn['role']; readonly parts: Part[] }[] = [];
  input.forEach((item, index) => {
    const { role, parts } = readItem(item, `input[${index}]`, lost);
    const last = turns.at(-1);
    if (last?.role === role) last.parts.push(...parts);
    else if (parts.length > 0) turns.push({ role, parts: [...parts] });
  });
  return turns;
}

function readItem(item: unknown, field: string, lost: Set<string>): Turn {
  if (!isObject(item)) throw malformed(field, 'expected an object');
  // A reference may come without its type, a message too.
  const isMessage = item['role'] !== undefined;
  const type = textIn(item, 'type') ?? (isMessage ? 'message' : 'item_reference');
  switch (type) {
    case 'message':
      return readMessage(item, field);
    case 'reasoning':
      return { role: 'assistant', parts: readThought(item) };
    case 'function_call':
      return said(callOf(item, textIn(item, 'arguments') ?? '', field));
    case 'custom_tool_call':
      return said(callOf(item, JSON.stringify({ input: textIn(item, 'input') ?? '' }), field));
    case 'function_call_output':
    case 'custom_tool_call_output':
      return { role: 'user', parts: [readResult(item, field)] };
    default:
      if (OF_A_HISTORY.test(type))
        throw untranslatable(`${field}.${type}`, 'only OpenAI has what it stands for');
      if (OF_HOSTED_TOOLS.test(type)) {
        lost.add(`input.${type}`);
        return { role: 'assistant', parts: [] };
      }
      throw untranslatable(
        `${field}.type`,
        `an item of type ${JSON.stringify(type)} has no place on another wire`,
      );
  }
}

function said(part: Part): Turn {
  return { role: 'assistant', parts: [part] };
}

function readMessage(item: JsonObject, field: string): Turn {
  const parts = readContent(item['content'], `${field}.content`);
  switch (item['role']) {
    case 'system':
    case 'developer':
      return { role: 'system', parts };
    case 'user':
    case 'assistant':
      return { role: item['role'], parts };
    default:
      throw malformed(
        `${field}.role`,
        `expected system, developer, user or assistant, found ${JSON.stringify(item['role']) ?? 'none'}`,
      );
  }
}

function readContent(content: unknown, field: string): readonly ContentPart[] {
  if (content === undefined || content === null || content === '') return [];
  if (typeof content === 'string') return [textPart(content)];
  if (!Array.isArray(content)) throw malformed(field, 'expected a text or a list of parts');
  return content.map((part, index) => readPart(part, `${field}[${index}]`));
}

function textPart(text: string): TextPart {
  return { kind: 'text', text, cache: null };
}

function readPart(part: unknown, field: string): ContentPart {
  if (!isObject(part)) throw malformed(field, 'expected an object');
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return { ...textPart(textOf(part, 'text', field)), cache: cacheLifeOf(part) };
    case 'refusal':
      return textPart(textOf(part, 'refusal', field));
    case 'input_image':
      return readImage(part, field);
    case 'input_file':
      return readFile(part, field);
    case 'input_audio': {
      const audio = objectIn(part, 'input_audio') ?? {};
      const base64 = textOf(audio, 'data', `${field}.input_audio`);
      const format = textIn(audio, 'format') ?? 'wav';
      return { kind: 'audio', field: 'input_audio', format, base64 };
    }
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

/** A file lives in one provider's account. */
function refuseStored(part: JsonObject): void {
  if (textIn(part, 'file_id') !== null)
    throw untranslatable('file_id', "a file lives in one provider's account");
}

function readImage(part: JsonObject, field: string): ImagePart {
  refuseStored(part);
  const media = mediaOf(textIn(part, 'image_url') ?? '');
  if (media === null) throw malformed(`${field}.image_url`, 'expected a URL');
  return { kind: 'image', media, detail: detailOf(part['detail']), cache: cacheLifeOf(part) };
}

function readFile(part: JsonObject, field: string): DocumentPart {
  refuseStored(part);
  const url = textIn(part, 'file_url');
  const media = mediaOf(url ?? textOf(part, 'file_data', field));
  if (media === null || (url === null && media.from === 'url'))
    throw malformed(`${field}.${url === null ? 'file_data' : 'file_url'}`, 'expected a URL');
  return { kind: 'document', media, title: textIn(part, 'filename'), cache: cacheLifeOf(part) };
}

/** What it shows stands in `summary`, or with open models in `content`. */
function readThought(item: JsonObject): readonly Part[] {
  const texts = [...listIn(item, 'summary'), ...listIn(item, 'content')].flatMap((part) =>
    isObject(part) ? [textIn(part, 'text') ?? ''] : [],
  );
  const thought = thoughtOf(textIn(item, 'encrypted_content') ?? '', texts.join('\n\n'));
  return thought === null ? [] : [thought];
}

function callOf(item: JsonObject, input: string, field: string): CallPart {
  const id = textOf(item, 'call_id', field);
  const name = qualifiedNameOf(item);
  if (name === null) throw malformed(`${field}.name`, 'expected a text');
  return { kind: 'call', id, name, input, cache: null };
}

function readResult(item: JsonObject, field: string): ResultPart {
  return {
    kind: 'result',
    id: textOf(item, 'call_id', field),
    parts: readContent(item['output'], `${field}.output`),
    isError: false,
    cache: null,
  };
}

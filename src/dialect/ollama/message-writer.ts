import type {
  CallPart,
  Conversation,
  DocumentPart,
  ImagePart,
  Part,
  ResultPart,
  TextPart,
  Turn,
} from '../conversation.ts';
import { inlineText } from '../data-url.ts';
import { parsedObject } from '../json-values.ts';
import { misplaced, untranslatable } from '../losses.ts';
import type { ToolNames } from '../wire-names.ts';
import type { OllamaCall, OllamaMessage } from './shapes.ts';

/** The same history gives the same bytes, so that what Ollama has of a prompt in its memory stays so. */
export function writeMessages({ turns }: Conversation, names: ToolNames): OllamaMessage[] {
  const called = new Map<string, string>();
  return turns.flatMap((turn): OllamaMessage[] => {
    if (turn.role === 'system') return writeSystem(turn);
    if (turn.role === 'user') return writeUser(turn, called, names);
    for (const part of turn.parts) if (part.kind === 'call') called.set(part.id, part.name);
    return writeAssistant(turn, names);
  });
}

function writeSystem({ parts }: Turn): OllamaMessage[] {
  refuseUnwritten(parts, 'system');
  const content = textOf(parts, '\n');
  return content === '' ? [] : [{ role: 'system', content }];
}

/** Results first, each a message of its own. */
function writeUser(
  { parts }: Turn,
  called: ReadonlyMap<string, string>,
  names: ToolNames,
): OllamaMessage[] {
  const results = parts.flatMap((part) =>
    part.kind === 'result' ? [writeResult(part, called, names)] : [],
  );
  const shown = parts.filter((part) => part.kind !== 'result');
  const content = textOf(shown, '\n');
  const images = imagesOf(shown);
  if (content === '' && images.length === 0) return results;
  return [...results, { role: 'user', content, ...(images.length === 0 ? {} : { images }) }];
}

function writeResult(
  { id, parts, isError }: ResultPart,
  called: ReadonlyMap<string, string>,
  names: ToolNames,
): OllamaMessage {
  const content = textOf(parts, '\n');
  const images = imagesOf(parts);
  // Nothing marks a tool that failed; the words are what the model reads.
  const isTold = !isError || /^\s*error/i.test(content);
  return {
    role: 'tool',
    content: isTold ? content : `Error: ${content}`,
    tool_name: names.given(called.get(id) ?? id),
    tool_call_id: id,
    ...(images.length === 0 ? {} : { images }),
  };
}

/** Pictures are a user's, or a tool's; text files are text anywhere. */
function refuseUnwritten(parts: readonly Part[], role: Turn['role']): void {
  for (const part of parts)
    if (part.kind === 'image' || part.kind === 'audio') throw misplaced(part, role);
}

function writeAssistant({ parts }: Turn, names: ToolNames): OllamaMessage[] {
  refuseUnwritten(parts, 'assistant');
  const content = textOf(parts, '');
  const calls = parts.flatMap((part) => (part.kind === 'call' ? [writeCall(part, names)] : []));
  if (content === '' && calls.length === 0) return [];
  // What has a seal is another maker's.
  const thinking = parts
    .flatMap((part) => (part.kind === 'thought' && part.seal === null ? [part.text] : []))
    .join('');
  return [
    {
      role: 'assistant',
      content,
      ...(thinking === '' ? {} : { thinking }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    },
  ];
}

function writeCall({ id, name, input }: CallPart, names: ToolNames): OllamaCall {
  // What is no object is what a cut answer left: better no arguments than no conversation.
  const told = { name: names.given(name), arguments: { ...parsedObject(input) } };
  return id === '' ? { function: told } : { id, function: told };
}

/** Its texts and the text files among them, in order. */
function textOf(parts: readonly Part[], between: string): string {
  return parts
    .flatMap((part) => {
      if (part.kind === 'text') return [part.text];
      return part.kind === 'document' ? [documentText(part)] : [];
    })
    .filter((text) => text !== '')
    .join(between);
}

/** @throws Refusal where it is none */
function documentText({ media }: DocumentPart): string {
  if (media.from === 'text') return media.text;
  if (media.from === 'inline' && media.type.startsWith('text/')) return inlineText(media);
  throw untranslatable('document', 'Ollama takes texts and pictures alone');
}

function imagesOf(parts: readonly (Part | TextPart)[]): string[] {
  return parts.flatMap((part) => {
    if (part.kind === 'audio') throw untranslatable(part.field, 'Ollama takes no sound');
    return part.kind === 'image' ? [imageOf(part)] : [];
  });
}

function imageOf({ media }: ImagePart): string {
  if (media.from === 'url')
    throw untranslatable(
      'image',
      'Ollama takes no URL of a picture, and nothing is fetched for it',
    );
  return media.base64;
}

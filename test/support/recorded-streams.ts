import type { StreamWire } from '../../src/wire/first-content.ts';
import { recordedBody, recordedResponses } from './fixtures.ts';

/** One recorded event stream, taken apart the slow way: as text, at empty lines. */
export interface RecordedStream {
  readonly name: string;
  readonly wire: StreamWire;
  readonly events: readonly { readonly event: string; readonly data: string }[];
}

/** By the folder and the start of a recording's name: its endpoint. */
const WIRES: readonly (readonly [RegExp, StreamWire])[] = [
  // Cohere's second API is a wire of its own.
  [/\/chat-(?!v2-)/, 'openai-chat'],
  [/\/responses-/, 'openai-responses'],
  [/\/messages-/, 'anthropic-messages'],
  [/\/streamGenerateContent-/, 'gemini'],
];

/** Every recorded event stream that was answered with a 200; empty where the recordings are absent. */
export function recordedStreams(): readonly RecordedStream[] {
  return recordedResponses()
    .filter(({ format, status }) => format === 'sse' && status === 200)
    .flatMap((response) => {
      const wire = WIRES.find(([name]) => name.test(response.file))?.[1];
      if (wire === undefined) return [];
      return [{ name: response.file, wire, events: eventsOf(recordedBody(response).toString()) }];
    });
}

function eventsOf(text: string): RecordedStream['events'] {
  return text.split(/\r?\n\r?\n/).map((block) => {
    const values = (name: string) =>
      block
        .split(/\r?\n/)
        .filter((line) => line.startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).replace(/^ /, ''));
    return { event: values('event')[0] ?? '', data: values('data').join('\n') };
  });
}

import { type Asked, idAt } from './asked.ts';
import { vectorOf } from './embeddings.ts';
import { isObject, type JsonObject, listAt, numberAt, objectAt } from './json.ts';
import { type EventsReply, jsonReply, type Reply, type Tokens } from './reply.ts';
import { countsOf, type Said, say } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Floats of a vector when the request names no `dimensions`, those of a usual small model. */
const DEFAULT_DIMENSIONS = 768;
const MAX_DIMENSIONS = 4_096;

/** When every answer claims to have been made: fixed, so that equal requests get equal bytes. */
const CREATED_AT = '2026-01-02T03:04:05.000001Z';

/** Answers POST /api/chat, Ollama's own wire: lines of JSON unless `stream` is false. */
export function answerOllamaChat(asked: Asked): Reply {
  if (asked.model === '') return errorReply(asked.voice, 400, 'model is required');
  const said = say(asChat(asked.body));
  const lines = new OllamaLines(asked, said);
  return asked.body['stream'] === false
    ? jsonReply(lines.whole, lines.tokens)
    : lines.streamed(streamFailure(asked.voice));
}

/** Answers POST /api/embed: one unit vector per text, a pure function of it. */
export function answerOllamaEmbed(asked: Asked): Reply {
  const { body, model } = asked;
  if (!('input' in body)) return errorReply(asked.voice, 400, 'input is required');
  const listed = listAt(body, 'input');
  const texts = listed.length === 0 ? [String(body['input'])] : listed.map(String);
  const wanted = Math.trunc(numberAt(body, 'dimensions') ?? DEFAULT_DIMENSIONS);
  const dimensions = Math.min(Math.max(wanted, 1), MAX_DIMENSIONS);
  const vectors = texts.map((text) => `[${vectorOf(text, dimensions).join(',')}]`);
  const { input } = countsOf(body, 0, 0);
  return jsonReply(
    `{"model":${JSON.stringify(model)},"embeddings":[${vectors.join(',')}],"total_duration":14143917,"load_duration":1019500,"prompt_eval_count":${input}}`,
    { input, output: 0 },
  );
}

/** What is asked, in the words that the other wires have for it. */
function asChat(body: JsonObject): JsonObject {
  const { think, format } = body;
  const limit = numberAt(objectAt(body, 'options'), 'num_predict');
  const schema = isObject(format) ? { type: 'json_schema', json_schema: { schema: format } } : null;
  const wanted = format === 'json' ? { type: 'json_object' } : schema;
  return {
    ...body,
    messages: listAt(body, 'messages').map((message) =>
      isObject(message) ? withPictures(message) : message,
    ),
    ...(limit === null ? {} : { max_tokens: limit }),
    ...(wanted === null ? {} : { response_format: wanted }),
    ...(think === undefined ? {} : { reasoning_effort: think === false ? 'none' : 'high' }),
  };
}

function withPictures(message: JsonObject): JsonObject {
  const images = listAt(message, 'images');
  if (images.length === 0) return message;
  const shown = images.map((data) => ({
    type: 'image_url',
    image_url: { url: `data:image/png;base64,${String(data)}` },
  }));
  return { ...message, content: [{ type: 'text', text: message['content'] }, ...shown] };
}

/** One answer, as the lines that Ollama writes. */
class OllamaLines {
  readonly #asked: Asked;
  readonly #said: Said;

  constructor(asked: Asked, said: Said) {
    this.#asked = asked;
    this.#said = said;
  }

  get tokens(): Tokens {
    const { input, output } = this.#said.counts;
    return { input, output };
  }

  get whole(): string {
    const { thought, text } = this.#said;
    const thinking = thought.length === 0 ? {} : { thinking: thought.join('') };
    return this.#line({ content: text, ...thinking, ...this.#calls() }, this.#last);
  }

  streamed(failure: string): EventsReply {
    const { thought, pieces, tools } = this.#said;
    const lines = [
      ...thought.map((thinking) => this.#line({ content: '', thinking })),
      ...pieces.map((content) => this.#line({ content })),
      ...(tools.length === 0 ? [] : [this.#line({ content: '', ...this.#calls() })]),
      this.#line({ content: '' }, this.#last),
    ].map((line) => `${line}\n`);
    const usageAt = lines.length - 1;
    const { tokens } = this;
    return {
      kind: 'events',
      contentType: 'application/x-ndjson',
      events: lines,
      contentAt: 0,
      usageAt,
      markerAt: usageAt,
      failure,
      tokens,
    };
  }

  #calls(): object {
    const { tools } = this.#said;
    if (tools.length === 0) return {};
    const calls = tools.map(({ name, arguments: args }, at) => ({
      id: idAt(this.#asked.seed, 'call_', at, 8),
      function: { name, arguments: JSON.parse(args) },
    }));
    return { tool_calls: calls };
  }

  get #last(): string {
    const { input, output } = this.#said.counts;
    return `"done_reason":"stop","done":true,"total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":${input},"prompt_eval_duration":342546000,"eval_count":${output},"eval_duration":4535599000`;
  }

  #line(message: object, rest = '"done":false'): string {
    const told = JSON.stringify({ role: 'assistant', ...message });
    return `{"model":${JSON.stringify(this.#asked.model)},"created_at":"${CREATED_AT}","message":${told},${rest}}`;
  }
}

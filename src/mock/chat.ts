import { type Asked, CREATED_S, idAt, idFrom } from './asked.ts';
import {
  CHAT_SHAPES,
  type ChatShape,
  type Choice,
  type Chunk,
  OPENAI_SHAPE,
} from './chat-shapes.ts';
import { numberAt, objectAt } from './json.ts';
import { dataEvent, type EventsReply, jsonReply, type Reply } from './reply.ts';
import { type Counts, type Said, say, type ToolCall } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Choices answered at most (`n`). */
const MAX_CHOICES = 8;
/** Pieces up to which a shape that repeats the whole answer in each chunk is rendered: 2,000 make 12 MB. */
const MAX_CUMULATIVE_PIECES = 2_000;

/** Answers POST …/chat/completions, streamed or whole, in the shape of the vendor asked for. */
export function answerChat(asked: Asked): Reply {
  if (!Array.isArray(asked.body['messages'])) {
    return errorReply(asked.voice, 400, "Missing required parameter: 'messages'.");
  }
  const shape = CHAT_SHAPES.get(asked.voice.vendor) ?? OPENAI_SHAPE;
  const said = within(shape, say(asked.body));
  const choices = Math.min(Math.max(numberAt(asked.body, 'n') ?? 1, 1), MAX_CHOICES);
  const counts = countsFor(said, choices);
  return asked.body['stream'] === true
    ? new ChatStream(asked, shape, said, counts, choices).render()
    : jsonReply(chatBody(asked, shape, said, counts, choices), counts);
}

function within(shape: ChatShape, said: Said): Said {
  const over = said.pieces.length - MAX_CUMULATIVE_PIECES;
  if (shape.usagePlace !== 'every' || over <= 0) return said;
  const pieces = said.pieces.slice(0, MAX_CUMULATIVE_PIECES);
  const counts = { ...said.counts, output: said.counts.output - over };
  return { ...said, pieces, text: pieces.join(''), counts };
}

function countsFor(said: Said, choices: number): Counts {
  const spoken = said.counts.output - said.counts.reasoning;
  return { ...said.counts, output: spoken * choices + said.counts.reasoning };
}

function callId(asked: Asked, at: number): string {
  return idAt(asked.seed, 'call_', at);
}

function chatBody(
  asked: Asked,
  shape: ChatShape,
  said: Said,
  counts: Counts,
  count: number,
): string {
  const visible = shape.thoughtDelta !== null && said.thought.length > 0 && shape.name !== 'xai';
  const message = {
    role: 'assistant',
    content: said.tools.length === 0 ? said.text : null,
    ...(visible ? { reasoning_content: said.thought.join('') } : {}),
    ...(said.tools.length === 0
      ? {}
      : {
          tool_calls: said.tools.map((tool, at) => ({
            id: callId(asked, at),
            type: 'function',
            function: { name: tool.name, arguments: tool.arguments },
          })),
        }),
    refusal: null,
  };
  const finish = said.tools.length === 0 ? 'stop' : 'tool_calls';
  const choices = Array.from({ length: count }, (_, index) => ({
    index,
    message,
    logprobs: null,
    finish_reason: finish,
  }));
  const head = `"id":"${idFrom(asked.seed, 'chatcmpl-')}","object":"chat.completion","created":${CREATED_S},"model":${JSON.stringify(asked.model)}`;
  const usage = `"usage":${shape.usage(counts)}`;
  const body = `"choices":${JSON.stringify(choices)}`;
  return shape.usageFirst ? `{${head},${usage},${body}}` : `{${head},${body},${usage}}`;
}

/** Renders one streamed answer event by event. */
class ChatStream {
  readonly #asked: Asked;
  readonly #shape: ChatShape;
  readonly #said: Said;
  readonly #counts: Counts;
  readonly #choices: number;
  readonly #model: string;
  readonly #includeUsage: boolean;
  readonly #events: string[] = [];
  #chunks = 0;
  #pieces = 0;
  #soFar = '';
  #usageAt = -1;

  constructor(asked: Asked, shape: ChatShape, said: Said, counts: Counts, choices: number) {
    this.#asked = asked;
    this.#shape = shape;
    this.#said = said;
    this.#counts = counts;
    this.#choices = choices;
    this.#model = JSON.stringify(asked.model);
    this.#includeUsage = objectAt(asked.body, 'stream_options')['include_usage'] === true;
  }

  render(): EventsReply {
    const { done, lineEnd, comments } = this.#shape;
    for (const line of comments) this.#events.push(`${line}${lineEnd}${lineEnd}`);
    this.#open();
    const contentAt = this.#events.length;
    this.#think();
    if (this.#said.tools.length === 0) this.#speak();
    else
      this.#said.tools.forEach((tool, at) => {
        this.#call(tool, at);
      });
    this.#finish();
    const markerAt = done ? this.#events.push(dataEvent('[DONE]', lineEnd)) - 1 : -1;
    return {
      kind: 'events',
      events: this.#events,
      contentAt,
      usageAt: this.#usageAt,
      markerAt,
      failure: streamFailure(this.#asked.voice),
      tokens: this.#counts,
    };
  }

  #open(): void {
    if (this.#shape.openDelta === '') return;
    for (let index = 0; index < this.#choices; index++) this.#delta(index, this.#shape.openDelta);
  }

  #think(): void {
    const thoughtDelta = this.#shape.thoughtDelta;
    if (thoughtDelta === null) return;
    for (const piece of this.#said.thought) this.#delta(0, thoughtDelta(JSON.stringify(piece)));
  }

  #speak(): void {
    const cumulative = this.#shape.usagePlace === 'every';
    for (const piece of this.#said.pieces) {
      const json = JSON.stringify(piece);
      const delta = this.#shape.textDelta(json);
      if (cumulative) this.#soFar += piece;
      for (let index = 0; index < this.#choices; index++) {
        this.#pieces++;
        this.#delta(index, delta, json);
      }
    }
  }

  #call(tool: ToolCall, at: number): void {
    const whole = this.#shape.wholeToolCalls;
    const opened = {
      index: at,
      id: callId(this.#asked, at),
      type: 'function',
      function: { name: tool.name, arguments: whole ? tool.arguments : '' },
    };
    for (let index = 0; index < this.#choices; index++) {
      this.#delta(index, JSON.stringify({ tool_calls: [opened] }));
      for (const piece of whole ? [] : tool.pieces) {
        const part = `{"index":${at},"function":{"arguments":${JSON.stringify(piece)}}}`;
        this.#delta(index, `{"tool_calls":[${part}]}`);
      }
    }
  }

  #finish(): void {
    const { usagePlace, usageUnasked, finishDelta } = this.#shape;
    const reason = this.#said.tools.length === 0 ? '"stop"' : '"tool_calls"';
    const told = usageUnasked || this.#includeUsage;
    const usage = this.#shape.usage(this.#counts);
    const within = usagePlace !== 'own' && usagePlace !== 'trailing';
    for (let index = 0; index < this.#choices; index++) {
      const last = index === this.#choices - 1;
      const choices = this.#choice(index, finishDelta, reason, '""');
      this.#chunk(last ? 'finish' : 'middle', choices, told && within && last ? usage : null);
    }
    if (told && within) this.#usageAt = this.#events.length - 1;
    if (!told || usagePlace === 'finish' || usagePlace === 'every') return;
    const choices = usagePlace === 'trailing' ? this.#choice(0, finishDelta, 'null', '""') : '';
    this.#chunk('usage', choices, usage);
    this.#usageAt = this.#events.length - 1;
  }

  #delta(index: number, delta: string, piece = '""'): void {
    const place = this.#chunks === 0 ? 'first' : 'middle';
    this.#chunk(place, this.#choice(index, delta, 'null', piece), null);
  }

  #choice(index: number, delta: string, finish: string, piece: string): string {
    const choice: Choice = { index, delta, finish, piece, soFar: this.#soFar };
    return this.#shape.choice(choice);
  }

  #chunk(place: Chunk['place'], choices: string, usage: string | null): void {
    const chunk: Chunk = {
      id: idFrom(this.#asked.seed, this.#shape.name === 'openrouter' ? 'gen-' : 'chatcmpl-'),
      created: CREATED_S,
      model: this.#model,
      choices: `[${choices}]`,
      usage: usage ?? this.#noUsage(),
      place,
      at: this.#chunks++,
    };
    this.#events.push(dataEvent(this.#shape.chunk(chunk), this.#shape.lineEnd));
  }

  #noUsage(): string {
    const { nullUsage, usagePlace } = this.#shape;
    if (usagePlace === 'every') {
      return this.#shape.usage({ ...this.#counts, output: this.#pieces });
    }
    return nullUsage === 'always' || (nullUsage === 'asked' && this.#includeUsage) ? 'null' : '';
  }
}

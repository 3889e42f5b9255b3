import { type Asked, idAt, idFrom } from './asked.ts';
import { type EventsReply, jsonReply, namedEvent, type Reply, type Tokens } from './reply.ts';
import { type Counts, countsOf, type Said, say, type ToolCall } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Answers POST …/v1/messages, streamed or whole, with thinking blocks when they are asked for. */
export function answerMessage(asked: Asked): Reply {
  if (!Array.isArray(asked.body['messages'])) {
    return errorReply(asked.voice, 400, 'messages: Field required');
  }
  if (!('max_tokens' in asked.body)) {
    return errorReply(asked.voice, 400, 'max_tokens: Field required');
  }
  const said = say(asked.body);
  if (asked.body['stream'] === true) return new MessageStream(asked, said).render();
  return jsonReply(messageBody(asked, said), tokensOf(said.counts));
}

/** Answers POST …/v1/messages/count_tokens: the count alone, billing nothing. */
export function answerCountTokens(asked: Asked): Reply {
  return jsonReply(JSON.stringify({ input_tokens: countsOf(asked.body, 0, 0).input }));
}

/** Anthropic's input count leaves cache reads and writes out; they stand beside it. */
function tokensOf(counts: Counts): Tokens {
  const input = counts.input - counts.cached - counts.cacheWrite;
  return { input, output: counts.output };
}

function inputUsage(counts: Counts): string {
  return `"input_tokens":${tokensOf(counts).input},"cache_creation_input_tokens":${counts.cacheWrite},"cache_read_input_tokens":${counts.cached}`;
}

function outputUsage(counts: Counts): string {
  const details =
    counts.reasoning > 0 ? `,"output_tokens_details":{"thinking_tokens":${counts.reasoning}}` : '';
  return `"output_tokens":${counts.output}${details}`;
}

const cacheCreation = (counts: Counts): string =>
  `"cache_creation":{"ephemeral_5m_input_tokens":${counts.cacheWrite},"ephemeral_1h_input_tokens":0}`;

const TIER = '"service_tier":"standard","inference_geo":"not_available"';

function head(asked: Asked): string {
  return `"model":${JSON.stringify(asked.model)},"id":"${idFrom(asked.seed, 'msg_')}","type":"message","role":"assistant"`;
}

function stopReason(said: Said): string {
  return said.tools.length === 0 ? '"end_turn"' : '"tool_use"';
}

function signature(asked: Asked): string {
  return Buffer.from(asked.seed, 'hex').toString('base64');
}

function toolBlock(asked: Asked, tool: ToolCall, at: number, input: string): string {
  return `{"type":"tool_use","id":"${idAt(asked.seed, 'toolu_', at)}","name":${JSON.stringify(tool.name)},"input":${input},"caller":{"type":"direct"}}`;
}

function messageBody(asked: Asked, said: Said): string {
  const blocks: string[] = [];
  if (said.thought.length > 0) {
    const thinking = said.thought.join('');
    blocks.push(JSON.stringify({ type: 'thinking', thinking, signature: signature(asked) }));
  }
  if (said.tools.length === 0) blocks.push(JSON.stringify({ type: 'text', text: said.text }));
  for (const [at, tool] of said.tools.entries())
    blocks.push(toolBlock(asked, tool, at, tool.arguments));
  const usage = `{${inputUsage(said.counts)},${cacheCreation(said.counts)},${outputUsage(said.counts)},${TIER}}`;
  return `{${head(asked)},"content":[${blocks.join(',')}],"stop_reason":${stopReason(said)},"stop_sequence":null,"stop_details":null,"usage":${usage}}`;
}

/** Renders one streamed message event by event. */
class MessageStream {
  readonly #asked: Asked;
  readonly #said: Said;
  readonly #events: string[] = [];
  #block = 0;
  #contentAt = 0;

  constructor(asked: Asked, said: Said) {
    this.#asked = asked;
    this.#said = said;
  }

  render(): EventsReply {
    const { counts, thought, tools, pieces } = this.#said;
    const usage = `{${inputUsage(counts)},${cacheCreation(counts)},"output_tokens":1,${TIER}}`;
    this.#event(
      'message_start',
      `"message":{${head(this.#asked)},"content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":${usage}}`,
    );
    if (thought.length > 0) this.#think();
    if (tools.length === 0) this.#write('{"type":"text","text":""}', 'text_delta', 'text', pieces);
    for (const [at, tool] of tools.entries()) {
      const opened = toolBlock(this.#asked, tool, at, '{}');
      this.#write(opened, 'input_json_delta', 'partial_json', ['', ...tool.pieces]);
    }
    const delta = `"delta":{"stop_reason":${stopReason(this.#said)},"stop_sequence":null,"stop_details":null}`;
    this.#event('message_delta', `${delta},"usage":{${inputUsage(counts)},${outputUsage(counts)}}`);
    const usageAt = this.#events.length - 1;
    this.#event('message_stop', '');
    const markerAt = this.#events.length - 1;
    const failure = streamFailure(this.#asked.voice);
    const tokens = tokensOf(counts);
    return {
      kind: 'events',
      events: this.#events,
      contentAt: this.#contentAt,
      usageAt,
      markerAt,
      failure,
      tokens,
    };
  }

  #think(): void {
    const opened = '{"type":"thinking","thinking":"","signature":""}';
    this.#open(opened);
    for (const piece of this.#said.thought) this.#delta('thinking_delta', 'thinking', piece);
    this.#delta('signature_delta', 'signature', signature(this.#asked));
    this.#close();
  }

  #write(opened: string, type: string, key: string, pieces: readonly string[]): void {
    this.#open(opened);
    for (const piece of pieces) this.#delta(type, key, piece);
    this.#close();
  }

  #open(block: string): void {
    // A call is content from its name on; a text or a thought opens empty.
    const isEmpty = !block.includes('"tool_use"');
    if (this.#block === 0) this.#contentAt = this.#events.length + (isEmpty ? 2 : 0);
    this.#event('content_block_start', `"index":${this.#block},"content_block":${block}`);
    if (this.#block === 0) this.#events.push(namedEvent('ping', '{"type": "ping"}'));
  }

  #delta(type: string, key: string, piece: string): void {
    const delta = `{"type":"${type}","${key}":${JSON.stringify(piece)}}`;
    this.#event('content_block_delta', `"index":${this.#block},"delta":${delta}`);
  }

  #close(): void {
    this.#event('content_block_stop', `"index":${this.#block++}`);
  }

  // Anthropic pads spaces in front of the last brace of an event.
  #event(type: string, members: string): void {
    const padding = ' '.repeat(1 + ((this.#events.length * 5) % 14));
    const rest = members === '' ? '' : `,${members}`;
    this.#events.push(namedEvent(type, `{"type":"${type}"${rest}${padding}}`));
  }
}

import { type Asked, CREATED_S, idAt, idFrom } from './asked.ts';
import { dataEvent, type EventsReply, jsonReply, namedEvent, type Reply } from './reply.ts';
import { ResponseObject, responseUsage } from './response-object.ts';
import { countsOf, type Said, say, type ToolCall } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Answers POST …/responses, streamed or whole. */
export function answerResponse(asked: Asked): Reply {
  if (!('input' in asked.body)) {
    return errorReply(asked.voice, 400, "Missing required parameter: 'input'.");
  }
  const said = say(asked.body);
  if (asked.body['stream'] === true) return new ResponseStream(asked, said).render();
  const output = `[${outputItems(asked, said).join(',')}]`;
  const usage = responseUsage(said.counts);
  return jsonReply(new ResponseObject(asked).render('completed', output, usage), said.counts);
}

/** Answers POST …/responses/input_tokens: the count alone, billing nothing. */
export function answerInputTokens(asked: Asked): Reply {
  const { input } = countsOf(asked.body, 0, 0);
  return jsonReply(JSON.stringify({ object: 'response.input_tokens', input_tokens: input }));
}

/** Answers POST …/responses/compact: an opaque item in place of the conversation. */
export function answerCompact(asked: Asked): Reply {
  const counts = countsOf(asked.body, 8, 0);
  const item = {
    id: idFrom(asked.seed, 'cmp_', 48),
    type: 'compaction',
    encrypted_content: Buffer.from(asked.seed).toString('base64'),
  };
  const id = idFrom(asked.seed, 'resp_', 48);
  const head = `"id":"${id}","object":"response.compaction","created_at":${CREATED_S}`;
  const body = `{${head},"output":[${JSON.stringify(item)}],"usage":${responseUsage(counts)}}`;
  return jsonReply(body, counts);
}

function messageItem(asked: Asked, status: string, content: string): string {
  return `{"id":"${idFrom(asked.seed, 'msg_', 48)}","type":"message","status":"${status}","content":[${content}],"role":"assistant"}`;
}

function textPart(text: string): string {
  return `{"type":"output_text","annotations":[],"logprobs":[],"text":${JSON.stringify(text)}}`;
}

function callItem(asked: Asked, tool: ToolCall, at: number, status: string, args: string): string {
  return `{"id":"${idAt(asked.seed, 'fc_', at, 48)}","type":"function_call","status":"${status}","arguments":${JSON.stringify(args)},"call_id":"${idAt(asked.seed, 'call_', at)}","name":${JSON.stringify(tool.name)}}`;
}

function reasoningItem(asked: Asked, summary: string): string {
  const part = summary === '' ? '' : summaryPart(summary);
  return `{"id":"${idFrom(asked.seed, 'rs_', 48)}","type":"reasoning","summary":[${part}]}`;
}

function summaryPart(text: string): string {
  return `{"type":"summary_text","text":${JSON.stringify(text)}}`;
}

function outputItems(asked: Asked, said: Said): readonly string[] {
  const thought = said.thought.join('');
  const items = thought === '' ? [] : [reasoningItem(asked, thought)];
  if (said.tools.length === 0) items.push(messageItem(asked, 'completed', textPart(said.text)));
  const calls = said.tools.map((tool, at) =>
    callItem(asked, tool, at, 'completed', tool.arguments),
  );
  return [...items, ...calls];
}

/** Renders one streamed response event by event. */
class ResponseStream {
  readonly #asked: Asked;
  readonly #said: Said;
  readonly #object: ResponseObject;
  readonly #events: string[] = [];
  #sequence = 0;
  #item = 0;
  #contentAt = 0;

  constructor(asked: Asked, said: Said) {
    this.#asked = asked;
    this.#said = said;
    this.#object = new ResponseObject(asked);
  }

  render(): EventsReply {
    const background = this.#asked.body['background'] === true;
    this.#state('response.created', background ? 'queued' : 'in_progress', '[]', 'null');
    if (background) this.#state('response.queued', 'queued', '[]', 'null');
    this.#state('response.in_progress', 'in_progress', '[]', 'null');
    if (this.#said.thought.length > 0) this.#think();
    if (this.#said.tools.length === 0) this.#speak();
    for (const [index, tool] of this.#said.tools.entries()) this.#call(tool, index);
    const output = `[${outputItems(this.#asked, this.#said).join(',')}]`;
    this.#state('response.completed', 'completed', output, responseUsage(this.#said.counts));
    const usageAt = this.#events.length - 1;
    const marked = this.#asked.voice.vendor === 'openrouter';
    const markerAt = marked ? this.#events.push(dataEvent('[DONE]')) - 1 : usageAt;
    const failure = streamFailure(this.#asked.voice);
    const { counts } = this.#said;
    return {
      kind: 'events',
      events: this.#events,
      contentAt: this.#contentAt,
      usageAt,
      markerAt,
      failure,
      tokens: counts,
    };
  }

  #state(type: string, status: string, output: string, usage: string): void {
    this.#event(type, `"response":${this.#object.render(status, output, usage)}`);
  }

  #think(): void {
    const at = `"item_id":"${idFrom(this.#asked.seed, 'rs_', 48)}","output_index":${this.#item},"summary_index":0`;
    const thought = this.#said.thought.join('');
    this.#opened(reasoningItem(this.#asked, ''));
    this.#event('response.reasoning_summary_part.added', `${at},"part":${summaryPart('')}`);
    for (const piece of this.#said.thought) {
      const delta = JSON.stringify(piece);
      this.#event(
        'response.reasoning_summary_text.delta',
        `${at},"delta":${delta},"obfuscation":"ab"`,
      );
    }
    const text = JSON.stringify(thought);
    this.#event('response.reasoning_summary_text.done', `${at},"text":${text}`);
    this.#event('response.reasoning_summary_part.done', `${at},"part":${summaryPart(thought)}`);
    this.#closed(reasoningItem(this.#asked, thought));
  }

  #speak(): void {
    const at = `"item_id":"${idFrom(this.#asked.seed, 'msg_', 48)}","output_index":${this.#item},"content_index":0`;
    this.#opened(messageItem(this.#asked, 'in_progress', ''));
    this.#event('response.content_part.added', `${at},"part":${textPart('')}`);
    for (const piece of this.#said.pieces) {
      const delta = JSON.stringify(piece);
      const filler = 'abcdefghijklmnop'.slice(0, 1 + ((this.#sequence * 7) % 16));
      const body = `${at},"delta":${delta},"logprobs":[],"obfuscation":"${filler}"`;
      this.#event('response.output_text.delta', body);
    }
    const text = JSON.stringify(this.#said.text);
    this.#event('response.output_text.done', `${at},"text":${text},"logprobs":[]`);
    this.#event('response.content_part.done', `${at},"part":${textPart(this.#said.text)}`);
    this.#closed(messageItem(this.#asked, 'completed', textPart(this.#said.text)));
  }

  #call(tool: ToolCall, index: number): void {
    const at = `"item_id":"${idAt(this.#asked.seed, 'fc_', index, 48)}","output_index":${this.#item}`;
    this.#opened(callItem(this.#asked, tool, index, 'in_progress', ''));
    for (const piece of tool.pieces) {
      const body = `${at},"delta":${JSON.stringify(piece)},"obfuscation":"abc"`;
      this.#event('response.function_call_arguments.delta', body);
    }
    const args = JSON.stringify(tool.arguments);
    this.#event('response.function_call_arguments.done', `${at},"arguments":${args}`);
    this.#closed(callItem(this.#asked, tool, index, 'completed', tool.arguments));
  }

  #opened(item: string): void {
    // A call is content from its name on; a message or a thought opens empty, with an empty part.
    const isEmpty = !item.includes('"function_call"');
    if (this.#item === 0) this.#contentAt = this.#events.length + (isEmpty ? 2 : 0);
    this.#event('response.output_item.added', `"output_index":${this.#item},"item":${item}`);
  }

  #closed(item: string): void {
    this.#event('response.output_item.done', `"output_index":${this.#item++},"item":${item}`);
  }

  #event(type: string, members: string): void {
    const json = `{"type":"${type}","sequence_number":${this.#sequence++},${members}}`;
    // OpenRouter leaves the event lines out.
    const bare = this.#asked.voice.vendor === 'openrouter';
    this.#events.push(bare ? dataEvent(json) : namedEvent(type, json));
  }
}

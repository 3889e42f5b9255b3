import { type AnswerSink, CALL_UNITS, type ReplyTerms, type Stop, type Tokens } from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { KeptText } from '../kept-text.ts';
import {
  chatUsage,
  finishOf,
  googleContent,
  redactedBlock,
  thinkingBlock,
  tierOf,
} from './answer-writer.ts';
import { chatError } from './errors.ts';
import type { ChatDelta, ChatFinish, ChatUsage } from './shapes.ts';

/** Of a thought's text, in UTF-16 units, that is kept for its sealed block; a longer one's block has the seal alone. */
const THOUGHT_MAX_UNITS = 1_048_576;

/** Writes an answer as a stream on OpenAI's chat wire, an event in the turn in which it is told. */
export class ChatStreamWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #written = '';
  /** What every chunk begins with. */
  #opening = '';
  #hasBegun = false;
  #isOver = false;
  hasFailed = false;
  #thought = new KeptText();
  /** Gemini's, until the call that it belongs to. */
  #seal = '';
  #callCount = 0;
  /** Ordinals of calls of which no argument was told. */
  readonly #bare = new Set<number>();
  #stop: Stop | null = null;
  #usage: ChatUsage | null = null;
  #tier: ReturnType<typeof tierOf> = null;

  constructor(terms: ReplyTerms) {
    this.#terms = terms;
  }

  /** @returns what was written since it was asked last; the stream's text */
  take(): string {
    const written = this.#written;
    this.#written = '';
    return written;
  }

  get keptUnits(): number {
    return this.#thought.length + this.#seal.length + this.#bare.size * CALL_UNITS;
  }

  began(id: string, model: string): void {
    const { created } = this.#terms;
    const head = {
      id: id || this.#terms.id,
      object: 'chat.completion.chunk',
      created,
      model: model || this.#terms.model,
    };
    this.#opening = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
    this.#hasBegun = true;
    this.#delta({ role: 'assistant' });
  }

  text(text: string): void {
    this.#delta({ content: text });
  }

  refusal(text: string): void {
    this.#delta({ refusal: text });
  }

  thought(text: string): void {
    if (this.#thought.length + text.length <= THOUGHT_MAX_UNITS) this.#thought.append(text);
    this.#delta({ reasoning_content: text });
  }

  sealed(maker: Maker, data: string): void {
    if (maker === 'gemini') {
      this.#seal = data;
      return;
    }
    this.#delta({ thinking_blocks: [thinkingBlock(this.#thought.toString(), maker, data)] });
    this.#thought = new KeptText();
  }

  redacted(maker: Maker, data: string): void {
    this.#delta({ thinking_blocks: [redactedBlock(maker, data)] });
  }

  call(ordinal: number, id: string, name: string): void {
    this.#callCount++;
    this.#bare.add(ordinal);
    const told = { name: this.#terms.toolNames.get(name) ?? name, arguments: '' };
    const callId = id === '' ? `${this.#terms.id}-${ordinal}` : id;
    const extra = googleContent(this.#seal);
    this.#seal = '';
    this.#delta({
      tool_calls: [{ index: ordinal, id: callId, type: 'function', function: told, ...extra }],
    });
  }

  input(ordinal: number, text: string): void {
    if (text === '') return;
    this.#bare.delete(ordinal);
    this.#delta({ tool_calls: [{ index: ordinal, function: { arguments: text } }] });
  }

  stopped(stop: Stop): void {
    this.#stop = stop;
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#usage = chatUsage(tokens);
    this.#tier = tierOf(tier);
  }

  ended(): void {
    for (const ordinal of [...this.#bare]) this.input(ordinal, '{}');
    if (this.#seal !== '') this.#delta(googleContent(this.#seal));
    const explanation = this.#stop?.explanation ?? null;
    if (explanation !== null) this.#delta({ refusal: explanation });
    this.#chunk({}, finishOf(this.#stop, this.#callCount > 0));
    if (this.#terms.wantsUsage)
      this.#written += `${this.#opening}],"usage":${JSON.stringify(this.#usage)}${this.#told}}\n\n`;
    this.#written += 'data: [DONE]\n\n';
    this.#isOver = true;
  }

  failed(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.hasFailed = true;
    this.#written += `data: ${JSON.stringify(chatError(failure).body)}\n\n`;
  }

  #delta(delta: ChatDelta): void {
    this.#chunk(delta, null);
  }

  #chunk(delta: ChatDelta, finish: ChatFinish | null): void {
    if (!this.#hasBegun || this.#isOver) return;
    const told = JSON.stringify(delta);
    const reason = finish === null ? 'null' : `"${finish}"`;
    const usage = this.#terms.wantsUsage ? ',"usage":null' : '';
    const tier = finish === null ? '' : this.#told;
    this.#written += `${this.#opening}{"index":0,"delta":${told},"logprobs":null,"finish_reason":${reason}}]${usage}${tier}}\n\n`;
  }

  /** The tier that served, as a member behind others: known for sure at the end alone. */
  get #told(): string {
    return this.#tier === null ? '' : `,"service_tier":"${this.#tier}"`;
  }
}

import {
  type AnswerSink,
  CALL_UNITS,
  isAskedChoice,
  type ReplyTerms,
  type Stop,
  type Tokens,
} from '../answer.ts';
import type { Maker } from '../conversation.ts';
import type { Failure } from '../failures.ts';
import { KeptText } from '../kept-text.ts';
import {
  chatUsage,
  finishOf,
  googleContent,
  madeCallId,
  redactedBlock,
  thinkingBlock,
  tierOf,
} from './answer-writer.ts';
import { chatError } from './errors.ts';
import type { ChatDelta, ChatFinish, ChatUsage } from './shapes.ts';

/** Of a thought's text, in UTF-16 units, that is kept for its sealed block; a longer one's block has the seal alone. */
const THOUGHT_MAX_UNITS = 1_048_576;

/** One choice: what the stream's end, or its next word, has to know of it. */
class StreamedChoice {
  readonly index: number;
  /** What each of its chunks has behind the stream's opening. */
  readonly opening: string;
  thought = new KeptText();
  /** Gemini's, until the call that it belongs to. */
  seal = '';
  callCount = 0;
  /** Ordinals of calls of which no argument was told. */
  readonly bare = new Set<number>();
  stop: Stop | null = null;

  constructor(index: number) {
    this.index = index;
    this.opening = `{"index":${index},"delta":`;
  }

  get keptUnits(): number {
    return this.thought.length + this.seal.length + this.bare.size * CALL_UNITS;
  }
}

/** Writes an answer as a stream on OpenAI's chat wire, an event in the turn in which it is told. */
export class ChatStreamWriter implements AnswerSink {
  readonly #terms: ReplyTerms;
  #written = '';
  /** What every chunk begins with. */
  #opening = '';
  #hasBegun = false;
  #isOver = false;
  hasFailed = false;
  /** The choice that is being told. */
  #choice = new StreamedChoice(0);
  /** By index, with holes where one has not come. */
  readonly #choices: (StreamedChoice | undefined)[] = [this.#choice];
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
    if (this.#choices.length === 1) return this.#choice.keptUnits;
    return this.#choices.reduce((units, choice) => units + (choice?.keptUnits ?? 0), 0);
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

  choice(index: number): boolean {
    if (!isAskedChoice(index, this.#terms)) return false;
    const known = this.#choices[index];
    this.#choice = known ?? new StreamedChoice(index);
    if (known !== undefined) return true;
    this.#choices[index] = this.#choice;
    this.#delta({ role: 'assistant' });
    return true;
  }

  text(text: string): void {
    this.#delta({ content: text });
  }

  refusal(text: string): void {
    this.#delta({ refusal: text });
  }

  thought(text: string): void {
    const { thought } = this.#choice;
    if (thought.length + text.length <= THOUGHT_MAX_UNITS) thought.append(text);
    this.#delta({ reasoning_content: text });
  }

  sealed(maker: Maker, data: string): void {
    if (maker === 'gemini') {
      this.#choice.seal = data;
      return;
    }
    const { thought } = this.#choice;
    this.#delta({ thinking_blocks: [thinkingBlock(thought.toString(), maker, data)] });
    this.#choice.thought = new KeptText();
  }

  redacted(maker: Maker, data: string): void {
    this.#delta({ thinking_blocks: [redactedBlock(maker, data)] });
  }

  call(ordinal: number, id: string, name: string): void {
    const choice = this.#choice;
    choice.callCount++;
    choice.bare.add(ordinal);
    const told = { name: this.#terms.toolNames.get(name) ?? name, arguments: '' };
    const callId = id === '' ? madeCallId(this.#terms.id, choice.index, ordinal) : id;
    const extra = googleContent(choice.seal);
    choice.seal = '';
    this.#delta({
      tool_calls: [{ index: ordinal, id: callId, type: 'function', function: told, ...extra }],
    });
  }

  input(ordinal: number, text: string): void {
    if (text === '') return;
    this.#choice.bare.delete(ordinal);
    this.#delta({ tool_calls: [{ index: ordinal, function: { arguments: text } }] });
  }

  stopped(stop: Stop): void {
    this.#choice.stop = stop;
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#usage = chatUsage(tokens);
    this.#tier = tierOf(tier);
  }

  ended(): void {
    for (const choice of this.#choices) if (choice !== undefined) this.#endChoice(choice);
    if (this.#terms.wantsUsage)
      this.#written += `${this.#opening}],"usage":${JSON.stringify(this.#usage)}${this.#told}}\n\n`;
    this.#written += 'data: [DONE]\n\n';
    this.#isOver = true;
  }

  #endChoice(choice: StreamedChoice): void {
    this.#choice = choice;
    for (const ordinal of [...choice.bare]) this.input(ordinal, '{}');
    if (choice.seal !== '') this.#delta(googleContent(choice.seal));
    const explanation = choice.stop?.explanation ?? null;
    if (explanation !== null) this.#delta({ refusal: explanation });
    this.#chunk({}, finishOf(choice.stop, choice.callCount > 0));
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
    this.#written += `${this.#opening}${this.#choice.opening}${told},"logprobs":null,"finish_reason":${reason}}]${usage}${tier}}\n\n`;
  }

  /** The tier that served, as a member behind others: known for sure at the end alone. */
  get #told(): string {
    return this.#tier === null ? '' : `,"service_tier":"${this.#tier}"`;
  }
}

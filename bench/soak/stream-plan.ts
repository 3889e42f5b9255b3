import { seededRandom } from '../../test/support/fixtures.ts';
import type { Cost } from '../../test/support/metering-storm.ts';

/** How an event's lines are written. */
type Shape = 'plain' | 'crlf' | 'commented' | 'named';
const SHAPES: readonly Shape[] = ['plain', 'crlf', 'commented', 'named'];

/** One event stream, byte for byte the same for whoever knows its seed. */
export interface StreamPlan {
  readonly number: number;
  readonly events: readonly string[];
  /** What the provider tells at the end when it was asked for it: an event of its own. */
  readonly usage: string;
  readonly end: string;
  readonly gapMs: number;
  /** The client itself asks for the usage, and must see it. */
  readonly clientAsks: boolean;
  readonly fate: 'whole' | 'client-leaves' | 'upstream-cuts';
  /** Events after which somebody leaves. */
  readonly leaveAt: number;
  readonly cost: Cost;
}

/** Of a stream that runs long; others are over within a second. */
const LONG_MS = 20_000;
const LONG = 0.25;
/** Of an event's text: most are a word, a few fill more than a cork. */
const LARGEST_TEXT_BYTES = 20_000;
const PROMPT_TOKENS = 7;

export function streamPlanOf(seed: number, number: number): StreamPlan {
  const random = seededRandom(seed);
  const shape = SHAPES[Math.floor(random() * SHAPES.length)] ?? 'plain';
  const isLong = random() < LONG;
  const count = isLong ? 40 + Math.floor(random() * 160) : 2 + Math.floor(random() * 60);
  const choice = random();
  let output = 0;
  const events = Array.from({ length: count }, (_, at) => {
    const length = random() < 0.02 ? LARGEST_TEXT_BYTES : 1 + Math.floor(random() ** 3 * 400);
    output += length;
    return event(shape, at, `{"choices":[{"delta":{"content":"${text(random, length)}"}}]}`);
  });
  const told = `{"model":"soak","choices":[],"usage":{"prompt_tokens":${PROMPT_TOKENS},"completion_tokens":${output}}}`;
  return {
    number,
    events,
    usage: event(shape, BARE, told),
    end: event(shape, BARE, '[DONE]'),
    gapMs: isLong ? Math.floor((LONG_MS * random()) / count) : Math.floor(random() * 15),
    clientAsks: random() < 0.3,
    fate: choice < 0.75 ? 'whole' : choice < 0.9 ? 'client-leaves' : 'upstream-cuts',
    leaveAt: Math.floor(random() * count),
    cost: { input: PROMPT_TOKENS, output },
  };
}

function text(random: () => number, length: number): string {
  const from = Math.floor(random() * LETTERS.length);
  return LETTERS.repeat(Math.ceil((from + length) / LETTERS.length)).slice(from, from + length);
}

const LETTERS = 'The river said to the stone that it would be back before the light had gone. ';

/** A place of an event without a comment before it: what is withheld of a stream is the event alone. */
const BARE = 1;

function event(shape: Shape, at: number, data: string): string {
  switch (shape) {
    case 'crlf':
      return `data: ${data}\r\n\r\n`;
    case 'commented':
      return at % 5 === 0 ? `: keep-alive\n\ndata: ${data}\n\n` : `data:${data}\n\n`;
    case 'named':
      return `event: message\nid: ${at}\ndata: ${data}\n\n`;
    default:
      return `data: ${data}\n\n`;
  }
}

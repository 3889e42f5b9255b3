import type { Buffer } from 'node:buffer';
import { pathBits, REPEAT_PATH, REPEAT_PATHS } from '../wire/json-paths.ts';
import type { JsonEvents, JsonScanner } from '../wire/json-scanner.ts';
import { MODEL_MAX_BYTES } from '../wire/request-facts.ts';
import { decodedString, ValueCapture } from '../wire/value-capture.ts';

/**
 * What a request body says of whether its answer may be told again. `never`: it depends on more than its request, changes
 * something, or cannot be read; `asked`: only where the caller asks for it; `by itself`: its model is to say the same twice.
 */
export type Repeatable = 'never' | 'asked' | 'by itself';

/** A request body, as far as the cache reads it. */
export interface ReadRequest {
  readonly repeatable: Repeatable;
  /** As it was asked for; null: the body does not say, or says nothing that could be a name. */
  readonly model: string | null;
}

const { temperature, seed, n, store } = REPEAT_PATH;
const {
  generationTemperature,
  generationTemperatureSnake,
  optionsTemperature,
  generationSeed,
  generationSeedSnake,
  optionsSeed,
  generationCandidateCount,
  generationCandidateCountSnake,
} = REPEAT_PATH;

const TEMPERATURES = [
  temperature,
  generationTemperature,
  generationTemperatureSnake,
  optionsTemperature,
] as const;
const SEEDS = [seed, generationSeed, generationSeedSnake, optionsSeed] as const;
const CHOICES = [n, generationCandidateCount, generationCandidateCountSnake] as const;
/** What says nothing but by being there. */
const STATEFUL = [
  REPEAT_PATH.background,
  REPEAT_PATH.deferred,
  REPEAT_PATH.previousResponseId,
  REPEAT_PATH.conversation,
  REPEAT_PATH.container,
  REPEAT_PATH.webSearchOptions,
  REPEAT_PATH.plugins,
  REPEAT_PATH.mcpServers,
  REPEAT_PATH.cachedContent,
  REPEAT_PATH.cachedContentSnake,
  REPEAT_PATH.previousInteractionId,
] as const;

const WANTED = pathBits(
  ...TEMPERATURES,
  ...SEEDS,
  ...CHOICES,
  store,
  REPEAT_PATH.prompt,
  REPEAT_PATH.model,
  ...STATEFUL,
);

/** Says no, or nothing. */
const NOTHING: ReadonlySet<string> = new Set(['null', 'false', '', '""', '[]']);
const ZERO = /^-?0(?:\.0+)?(?:[eE][+-]?\d+)?$/;
const ONE = /^(?:1|null)$/;
/** A saying that is longer is no number and no word that means anything here. */
const SAID_BYTES = 24;
const LONG = '…';
const OPEN_BRACE = 0x7b;

const UNREAD: ReadRequest = { repeatable: 'never', model: null };

/**
 * @param body whole
 * @param isStoredUnasked its endpoint stores answers unless it is told not to (OpenAI's Responses)
 */
export function readRequest(
  scanner: JsonScanner,
  body: Buffer,
  isStoredUnasked: boolean,
): ReadRequest {
  const scan = scanner.scan(REPEAT_PATHS, WANTED);
  if (scan === undefined) return UNREAD;
  const said = new Sayings(body);
  try {
    scan.feed(body, said);
    // Of a member that is there twice nobody knows which one its provider reads.
    if (!scan.isWhole || said.isTwice) return UNREAD;
  } finally {
    scan.release();
  }
  return { repeatable: repeatable(said, isStoredUnasked), model: said.model };
}

function repeatable(said: Sayings, isStoredUnasked: boolean): Repeatable {
  const stored = said.at(store);
  if (isStoredUnasked ? stored !== 'false' : !NOTHING.has(stored)) return 'never';
  for (const path of STATEFUL) if (!NOTHING.has(said.at(path))) return 'never';
  // A prompt that its provider keeps; a text is the request's own.
  if (said.firstOf(REPEAT_PATH.prompt) === OPEN_BRACE) return 'never';
  // Of several temperatures one alone is read, and by whom is not known here.
  const temperatures = TEMPERATURES.map((path) => said.at(path)).filter((text) => text !== '');
  const isCold = temperatures.length > 0 && temperatures.every((text) => ZERO.test(text));
  if (isCold) return 'by itself';
  const isSeeded = SEEDS.some((path) => !NOTHING.has(said.at(path)));
  const isOne = CHOICES.every((path) => said.at(path) === '' || ONE.test(said.at(path)));
  return isSeeded && isOne ? 'by itself' : 'asked';
}

/** Where the values of a body stand. */
class Sayings implements JsonEvents {
  readonly #body: Buffer;
  readonly #from: number[] = new Array<number>(REPEAT_PATHS.rows.length).fill(0);
  readonly #to: number[] = new Array<number>(REPEAT_PATHS.rows.length).fill(0);
  isTwice = false;

  constructor(body: Buffer) {
    this.#body = body;
  }

  valueStarts(path: number, at: number): void {
    if (this.#to[path] !== 0) this.isTwice = true;
    this.#from[path] = at;
  }

  valueEnds(path: number, at: number): void {
    this.#to[path] = at;
  }

  /** A value as it is written; of a long one that it is one; empty: it is not there. */
  at(path: number): string {
    const from = this.#from[path] ?? 0;
    const to = this.#to[path] ?? 0;
    if (to === 0) return '';
    return to - from > SAID_BYTES ? LONG : this.#body.toString('latin1', from, to);
  }

  get model(): string | null {
    const from = this.#from[REPEAT_PATH.model] ?? 0;
    const to = this.#to[REPEAT_PATH.model] ?? 0;
    if (to === 0) return null;
    const literal = new ValueCapture(MODEL_MAX_BYTES);
    literal.lend(this.#body, from, to);
    const name = decodedString(literal, MODEL_MAX_BYTES);
    return name === null || name.isCut ? null : name.text;
  }

  firstOf(path: number): number | undefined {
    return (this.#to[path] ?? 0) === 0 ? undefined : this.#body[this.#from[path] ?? 0];
  }
}

/** What a client program and the tests say to each other: a list of asks on stdin, one JSON line per ask on stdout. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Ask } from '../asks.ts';

export type { Ask };

/** Tokens in and out of one billed call, null where the SDK does not tell them. */
export type Used = readonly [input: number, output: number] | null;

/** What an SDK's error said. `code` is left out where the SDK keeps none. */
export interface Refusal {
  readonly detail: string;
  readonly status: number | undefined;
  readonly code?: unknown;
  /** What the error says of a budget, as the SDK keeps it; left out where there is none. */
  readonly budget?: unknown;
}

/** Makes a call and gives the usage of each billed request. */
export type Call = (ask: Ask) => Promise<readonly Used[]>;

/** One red pixel: the mock answers with its media type, size and hash. */
export const PICTURE_BASE64 =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
export const PICTURE_URL = `data:image/png;base64,${PICTURE_BASE64}`;

/** Floats of a vector of the mock. */
const DIMENSIONS = 1_536;

/** @throws Error with `otherwise` as JSON when `holds` is false */
export function expect(holds: boolean, otherwise: unknown): asserts holds {
  if (!holds) throw new Error(`unexpected: ${JSON.stringify(otherwise)}`);
}

/** The mock repeats the prompt: that it is all there shows that both ways are whole. */
export function expectSaid({ prompt }: Ask, text: string | null | undefined): void {
  expect(text?.startsWith(`You said: ${prompt}`) === true, text);
}

export function expectPicture(text: string | null | undefined): void {
  const bytes = Buffer.from(PICTURE_BASE64, 'base64');
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
  expect(text?.includes(`image/png:${bytes.length}:${hash}`) === true, text);
}

/** What the mock thinks before it speaks. */
export const THOUGHT = 'Let me think about what was asked.';

/** One call of a tool: its id, its name and its arguments as an object. */
export type ToolCall = readonly [id: string, name: string, input: unknown];

/** Both tools that were offered were called, `weather` with a city and `clock` with a zone, each call with an id of its own. */
export function expectCalls(calls: readonly ToolCall[]): void {
  const made = JSON.stringify(calls.map(([, name, input]) => [name, input]));
  expect(made === '[["weather",{"city":"mock"}],["clock",{"zone":"mock"}]]', calls);
  expect(new Set(calls.map(([id]) => id)).size === 2, calls);
}

/** The mock gives unit vectors, another one for each input. */
export function expectVectors(vectors: readonly (readonly number[])[]): void {
  expect(vectors.length === 2 && vectors[0]?.[0] !== vectors[1]?.[0], 'two different vectors');
  for (const vector of vectors) {
    expect(vector.length === DIMENSIONS, vector.length);
    expect(Math.abs(Math.hypot(...vector) - 1) < 1e-4, Math.hypot(...vector));
  }
}

/** @throws Error when the call ends well: a cut stream never may */
export async function expectRaised(
  call: () => Promise<unknown>,
  isTyped: (error: unknown) => boolean,
): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (isTyped(error)) return;
    throw error;
  }
  throw new Error('the cut stream ended as if whole');
}

/**
 * Makes every call that was asked for.
 * @param calls by the name that the asks have
 * @param read gives what an error said, null where it is not of the class that belongs to the ask's status
 */
export async function run(
  calls: Readonly<Record<string, Call>>,
  chat: Call,
  read: (error: unknown, ask: Ask) => Refusal | null,
): Promise<void> {
  const asks: readonly Ask[] = JSON.parse(readFileSync(0, 'utf8'));
  for (const ask of asks) {
    const began = performance.now();
    const told = await answer(ask, calls, chat, read);
    const ms = performance.now() - began;
    process.stdout.write(`${JSON.stringify({ id: ask.id, ok: true, detail: '', ms, ...told })}\n`);
  }
}

async function answer(
  ask: Ask,
  calls: Readonly<Record<string, Call>>,
  chat: Call,
  read: (error: unknown, ask: Ask) => Refusal | null,
): Promise<object> {
  if (ask.call === 'fails') return await refused(ask, chat, read);
  // `retry` makes the same call with the retries that the client has by itself.
  if (ask.call === 'insists') return await refused(ask, calls['retry'] ?? chat, read);
  return await made(ask, calls);
}

async function made(ask: Ask, calls: Readonly<Record<string, Call>>): Promise<object> {
  try {
    return { usage: await calls[ask.call]?.(ask) };
  } catch (error) {
    return failed(error);
  }
}

async function refused(
  ask: Ask,
  chat: Call,
  read: (error: unknown, ask: Ask) => Refusal | null,
): Promise<object> {
  for (let attempt = 0; attempt < ask.attempts; attempt++) {
    try {
      await chat(ask);
    } catch (error) {
      return read(error, ask) ?? failed(error);
    }
  }
  return { ok: false, detail: 'nothing was raised' };
}

function failed(error: unknown): object {
  return {
    ok: false,
    detail: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
  };
}

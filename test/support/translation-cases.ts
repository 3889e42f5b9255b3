import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SHARED = new URL('../../../shared/', import.meta.url);
const FOLDER = new URL('fixtures-translation/', SHARED);

/** Why a test that needs the golden cases of translation cannot run here, or null when it can. */
export const CASES_MISSING: string | null = existsSync(new URL('index.json', FOLDER))
  ? null
  : `needs the recordings in ${fileURLToPath(FOLDER)}, which are not part of the repository`;

type Json = Readonly<Record<string, unknown>>;

/** One golden case, as the README beside the cases describes it. */
export interface TranslationCase {
  readonly name: string;
  readonly inbound: string;
  readonly upstream: string;
  readonly stream: boolean;
  readonly request_in: { readonly headers: Json; readonly body: Json & { readonly model: string } };
  readonly request_out_expected: null | {
    readonly path: string;
    readonly body: Json;
    readonly alternatives?: readonly Json[];
    readonly must?: { readonly present?: readonly string[]; readonly absent?: readonly string[] };
  };
  readonly response_upstream?: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly sse?: string;
    readonly ndjson?: string;
    readonly text?: string;
    readonly fixture?: string;
  };
  readonly response_out_expected: {
    readonly status: number;
    readonly dropped?: {
      readonly required: readonly unknown[];
      readonly optional: readonly unknown[];
    };
    readonly body?: unknown;
    readonly final?: unknown;
    readonly include_usage?: boolean;
    readonly stream_error?: {
      readonly type?: readonly string[];
      readonly message_includes: readonly string[];
    };
    readonly error?: Json;
  };
  readonly replay?: { readonly tool_output: string; readonly request_out_expected: Json };
}

/** A golden case of the list of models. */
interface ModelCase {
  readonly name: string;
  /** By wire: what a provider's own list says. */
  readonly upstream_lists: Readonly<Record<string, Json>>;
  readonly response_out_expected: {
    /** The wire of each model's provider, and its name there. */
    readonly ids: readonly (readonly [wire: string, id: string])[];
    /** What each entry has to say, as values or matchers. */
    readonly item: Json;
  };
}

interface Event {
  readonly event: string | null;
  readonly data: unknown;
}

/** The comparison that stands beside the cases; each gives a list of differences. */
export interface Matcher {
  matchRequest(wire: string, expected: readonly Json[], actual: unknown): string[];
  matchResponse(wire: string, expected: unknown, actual: unknown): string[];
  matchError(wire: string, expected: Json, status: number, actual: unknown): string[];
  matchDropped(expected: unknown, header: string): string[];
  checkStream(
    wire: string,
    events: readonly Event[],
    options: { final?: unknown; includeUsage?: boolean; error?: boolean },
  ): string[];
  accumulate(wire: string, events: readonly Event[]): unknown;
  parseSSE(text: string): readonly Event[];
}

/** Of one pair of wires; empty where the folder is absent. */
export function translationCases(inbound: string, upstream: string): readonly TranslationCase[] {
  if (CASES_MISSING !== null) return [];
  return readdirSync(new URL('cases/', FOLDER))
    .map((name) => JSON.parse(readFileSync(new URL(`cases/${name}`, FOLDER), 'utf8')))
    .filter((one: TranslationCase) => one.inbound === inbound && one.upstream === upstream);
}

/** @param name of a case of the list of models */
export function modelCase(name: string): ModelCase {
  return JSON.parse(readFileSync(new URL(`cases/${name}.json`, FOLDER), 'utf8'));
}

export async function translationMatcher(): Promise<Matcher> {
  return (await import(new URL('match.mjs', FOLDER).href)) as Matcher;
}

/**
 * What the provider answers in a case.
 * @param toolName what stands for `@@TOOL0@@`
 */
export function upstreamAnswer(one: TranslationCase, toolName: string): Buffer {
  const { body, sse, ndjson, text, fixture } = one.response_upstream ?? { status: 0, headers: {} };
  if (fixture !== undefined) return readFileSync(new URL(fixture, SHARED));
  const told = sse ?? ndjson ?? text ?? JSON.stringify(body ?? null);
  return Buffer.from(told.replaceAll('@@TOOL0@@', toolName));
}

import type { Deadlines } from '../../ticker.ts';
import type { GuardPhase, Judge, JudgeContext, JudgedRun, Judgement } from '../guard.ts';
import { HttpClient, type HttpServer } from './http-client.ts';
import { failed, type JudgeFailure, type JudgeReport, KEEP } from './judge-failure.ts';
import { textBatches } from './text-batches.ts';

/** A `[guards.NAME]` table with `moderation_url`: a server with OpenAI's `POST /v1/moderations`. */
export interface ModerationSettings extends HttpServer {
  readonly name: string;
  readonly action: 'block' | 'flag';
  /** Empty: the server's own choice. */
  readonly model: string;
  /** Categories that count; empty: all. */
  readonly categories: readonly string[];
}

/** Names of categories, as `harassment/threatening`; what is no such name could be a text. */
const CATEGORY = /^[A-Za-z0-9_./-]{1,64}$/;
const CATEGORIES_MAX = 256;

/** Asks a moderation server about texts, and refuses what it objects to, or says so. */
export class ModerationJudge implements Judge {
  readonly name: string;
  readonly #settings: ModerationSettings;
  readonly #client: HttpClient;
  readonly #report: JudgeReport;

  constructor(settings: ModerationSettings, deadlines: Deadlines, report: JudgeReport) {
    this.name = settings.name;
    this.#settings = settings;
    this.#client = new HttpClient(settings, deadlines);
    this.#report = report;
  }

  async judge(
    _phase: GuardPhase,
    runs: readonly JudgedRun[],
    _context: JudgeContext,
    signal: AbortSignal,
  ): Promise<Judgement> {
    const batches = textBatches(runs);
    if (batches === null) return this.#failed('too_long');
    const { model, categories, action } = this.#settings;
    const what = new Set<string>();
    for (const batch of batches) {
      const input = batch.map((at) => runs[at]?.text ?? '');
      const asked = { input, ...(model === '' ? {} : { model }) };
      const posted = await this.#client.post(JSON.stringify(asked), signal);
      if (!posted.isAnswered) return this.#failed(posted.why);
      const found = objectionsOf(posted.value, input.length, categories);
      if (found === null) return this.#failed('nonsense');
      for (const one of found) what.add(one);
      if (what.size > 0 && action === 'block') break;
    }
    if (what.size === 0) return KEEP;
    const names = [...what].sort();
    if (action === 'flag') return { verdict: 'flag', what: names };
    return { verdict: 'block', why: `it was flagged for ${names.join(', ')}`, what: names };
  }

  #failed(why: JudgeFailure): Judgement {
    this.#report.failed(this.name, why);
    return failed(why);
  }
}

/**
 * @param texts that were asked about: so many results there are
 * @param counting categories; empty: all
 * @returns names of what was objected to; null where it is no answer
 */
export function objectionsOf(
  value: unknown,
  texts: number,
  counting: readonly string[],
): ReadonlySet<string> | null {
  const results: unknown = memberOf(value, 'results');
  if (!Array.isArray(results) || results.length !== texts) return null;
  const found = new Set<string>();
  for (const result of results) {
    const flagged = memberOf(result, 'flagged');
    const categories = memberOf(result, 'categories');
    if (typeof flagged !== 'boolean' || typeof categories !== 'object' || categories === null)
      return null;
    const said: readonly (readonly [string, unknown])[] = Object.entries(categories);
    if (said.length > CATEGORIES_MAX) return null;
    const names: string[] = [];
    for (const [name, isSo] of said) {
      if (!CATEGORY.test(name)) return null;
      if (isSo === true) names.push(name);
    }
    if (counting.length > 0) {
      for (const name of names) if (counting.includes(name)) found.add(name);
    } else if (flagged) for (const name of names.length > 0 ? names : ['flagged']) found.add(name);
  }
  return found;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

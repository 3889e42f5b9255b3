import type { Deadlines } from '../../ticker.ts';
import type { GuardPhase, Judge, JudgeContext, JudgedRun, Judgement } from '../guard.ts';
import { unitOffsets } from './code-points.ts';
import { HttpClient, type HttpServer } from './http-client.ts';
import { failed, type JudgeFailure, type JudgeReport, KEEP } from './judge-failure.ts';
import { textBatches } from './text-batches.ts';

/** A `[guards.NAME]` table with `analyzer_url`: a server with Presidio's `POST /analyze`. */
export interface AnalyzerSettings extends HttpServer {
  readonly name: string;
  readonly action: 'redact' | 'block' | 'flag';
  /** What its texts are written in: two letters. */
  readonly language: string;
  /** Kinds that are looked for; empty: all that it knows. */
  readonly entities: readonly string[];
  /** Findings of which it is less sure do not count, 0 to 1. */
  readonly minScore: number;
}

/** Between two texts of one request: no name or number goes over it. */
const SEPARATOR = '\n\n';

/** Findings of one request; more is no answer to a text of that size. */
const FINDINGS_MAX = 10_000;

const ENTITY = /^[A-Z][A-Z0-9_]{0,63}$/;

/** Of one text, in UTF-16 units; ascending, apart. */
export interface Entity {
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

/** Asks a Presidio analyzer what of a text is personal, and takes it out, refuses it or says so. */
export class AnalyzerJudge implements Judge {
  readonly name: string;
  readonly #settings: AnalyzerSettings;
  readonly #client: HttpClient;
  readonly #report: JudgeReport;

  constructor(settings: AnalyzerSettings, deadlines: Deadlines, report: JudgeReport) {
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
    const texts: (string | null)[] = runs.map(() => null);
    const what = new Set<string>();
    for (const batch of batches) {
      const found = await this.#analyze(
        batch.map((at) => runs[at]?.text ?? ''),
        signal,
      );
      if (typeof found === 'string') return this.#failed(found);
      for (const [i, entities] of found.entries()) {
        const at = batch[i] ?? 0;
        for (const entity of entities) what.add(entity.what);
        if (entities.length > 0) texts[at] = redacted(runs[at]?.text ?? '', entities);
      }
    }
    if (what.size === 0) return KEEP;
    const kinds = [...what].sort();
    if (this.#settings.action === 'block')
      return { verdict: 'block', why: `it holds ${kinds.join(', ')}`, what: kinds };
    if (this.#settings.action === 'flag') return { verdict: 'flag', what: kinds };
    return { verdict: 'replace', texts };
  }

  #failed(why: JudgeFailure): Judgement {
    this.#report.failed(this.name, why);
    return failed(why);
  }

  /** @returns what each text holds, or why nobody knows */
  async #analyze(
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (readonly Entity[])[] | JudgeFailure> {
    const { language, entities, minScore } = this.#settings;
    const text = texts.join(SEPARATOR);
    const asked = {
      text,
      language,
      ...(entities.length > 0 ? { entities } : {}),
      score_threshold: minScore,
    };
    const posted = await this.#client.post(JSON.stringify(asked), signal);
    if (!posted.isAnswered) return posted.why;
    const found = entitiesOf(posted.value, text, minScore);
    return found === null ? 'nonsense' : split(found, texts);
  }
}

/** @returns what an analyzer says, in units of `text`; null: nothing that could be true of it */
export function entitiesOf(
  value: unknown,
  text: string,
  minScore: number,
): readonly Entity[] | null {
  if (!Array.isArray(value) || value.length > FINDINGS_MAX) return null;
  const said: { start: number; end: number; what: string; score: number }[] = [];
  for (const one of value) {
    const finding = findingOf(one);
    if (finding === null) return null;
    if (finding.score >= minScore) said.push(finding);
  }
  said.sort((a, b) => a.start - b.start || b.end - a.end);
  const points = [...new Set(said.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const offsets = unitOffsets(text, points);
  const unitOf = new Map(points.map((point, i) => [point, offsets[i] ?? null]));
  const entities: { from: number; to: number; what: string; score: number }[] = [];
  for (const { start, end, what, score } of said) {
    const from = unitOf.get(start) ?? null;
    const to = unitOf.get(end) ?? null;
    if (from === null || to === null) return null;
    const last = entities.at(-1);
    // Two recognizers may see one thing, and not agree where it ends: all of it goes, by the name of the surer.
    if (last !== undefined && from < last.to) {
      last.to = Math.max(last.to, to);
      if (score > last.score) Object.assign(last, { what, score });
    } else entities.push({ from, to, what, score });
  }
  return entities;
}

function findingOf(
  value: unknown,
): { start: number; end: number; what: string; score: number } | null {
  if (typeof value !== 'object' || value === null) return null;
  const start: unknown = Reflect.get(value, 'start');
  const end: unknown = Reflect.get(value, 'end');
  const what: unknown = Reflect.get(value, 'entity_type');
  const score: unknown = Reflect.get(value, 'score');
  if (typeof start !== 'number' || typeof end !== 'number' || typeof score !== 'number')
    return null;
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start) return null;
  return typeof what === 'string' && ENTITY.test(what) ? { start, end, what, score } : null;
}

/** What was found in the joined texts, by text; what goes over a separator is a part of both sides. */
function split(
  entities: readonly Entity[],
  texts: readonly string[],
): readonly (readonly Entity[])[] {
  let begin = 0;
  let next = 0;
  return texts.map((text) => {
    const end = begin + text.length;
    const own: Entity[] = [];
    while (next < entities.length && (entities[next]?.to ?? 0) <= begin) next++;
    for (let at = next; at < entities.length; at++) {
      const { from, to, what } = entities[at] ?? { from: end, to: end, what: '' };
      if (from >= end) break;
      own.push({ from: Math.max(from, begin) - begin, to: Math.min(to, end) - begin, what });
    }
    begin = end + SEPARATOR.length;
    return own;
  });
}

function redacted(text: string, entities: readonly Entity[]): string {
  let out = '';
  let at = 0;
  for (const { from, to, what } of entities) {
    out += `${text.slice(at, from)}[${what}]`;
    at = to;
  }
  return out + text.slice(at);
}

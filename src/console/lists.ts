import type { z } from 'zod';
import { csvText } from '../ledger/csv.ts';
import type { Answer } from './operation.ts';
import { pageOf } from './pages.ts';

interface ListQuery {
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly format: 'json' | 'csv';
}

/** Rows that are all at hand, as a page of JSON, or all of them as CSV. */
export function listAnswer<Shape extends z.ZodObject>(
  shape: Shape,
  rows: readonly z.output<Shape>[],
  query: ListQuery,
): Answer {
  return query.format === 'json'
    ? { status: 200, body: pageOf(rows, query) }
    : csvAnswer(shape, rows);
}

/** A column for each member; what has members of its own as JSON. */
export function csvAnswer<Shape extends z.ZodObject>(
  shape: Shape,
  rows: readonly z.output<Shape>[],
): Answer {
  const names = Object.keys(shape.shape);
  const lines = rows.map((row) => names.map((name) => cellOf((row as Cells)[name])));
  return {
    status: 200,
    type: 'text/csv; charset=utf-8',
    body: `${csvText([names, ...lines])}\r\n`,
  };
}

type Cells = Readonly<Record<string, unknown>>;

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Whether one of some texts holds what is looked for, in any case. */
export function holds(q: string | undefined, ...texts: readonly (string | null)[]): boolean {
  if (q === undefined || q === '') return true;
  const wanted = q.toLowerCase();
  return texts.some((text) => text?.toLowerCase().includes(wanted) === true);
}

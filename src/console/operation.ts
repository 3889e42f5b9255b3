/**
 * What an operation of the admin API is: one row says who may call it, what it takes, what it answers and what runs. The
 * document at `/admin/v1/openapi.json` is made of these rows, and a call is checked by them, so that neither can say something
 * else than the other.
 */

import type { z } from 'zod';
import type { Problem } from './problem.ts';

/** Each may what the ones before it may. */
export const ROLES = ['viewer', 'operator', 'owner'] as const;
export type Role = (typeof ROLES)[number];

/** Who calls, as its credential says. */
export interface Caller {
  /** Written into audit lines and overlay entries as the author. */
  readonly name: string;
  readonly role: Role;
  /** Those whose usage, requests, keys and budgets are told, as decimal ids; null: all, and what is no tenant's. */
  readonly tenants: ReadonlySet<string> | null;
}

/** One call, looked over: everything is of the shape that its operation says. */
export interface Call<Path, Query, Body> {
  readonly caller: Caller;
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  /** The `If-Match` of a write, without its quotes; null: there is none, so there must be nothing yet. */
  readonly ifMatch: string | null;
}

/** What an operation comes to; anything that it throws but a `Problem` is a 500 that says nothing. */
export interface Answer {
  readonly status: number;
  /** JSON, or text where `type` says so; undefined: none. */
  readonly body?: unknown;
  /** Default: `application/json`. */
  readonly type?: string;
  /** Of what can be written, its revision, without quotes. */
  readonly etag?: string;
  readonly location?: string;
  /** Fields beside those that every answer has: a session's cookie. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
  /** Of a write, what its audit line says of what was there and of what is there now; never a secret. */
  readonly audited?: { readonly before?: unknown; readonly after?: unknown };
}

/** An answer's shape, as the document tells it. */
export interface AnswerShape {
  readonly says: string;
  /** Undefined: no body. */
  readonly schema?: z.ZodType;
  /** Further types of the same answer, as `text/csv`. */
  readonly types?: readonly string[];
}

/** One operation, its shapes erased: what the router and the document read. */
export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Behind `/admin/v1`: `/keys/{id}`. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  readonly role: Role;
  readonly pathShape: z.ZodObject;
  readonly queryShape: z.ZodObject;
  /** Null: it takes no body. */
  readonly bodyShape: z.ZodType | null;
  /** Successful answers by status; the problems that every operation can answer are added by the document. */
  readonly answers: Readonly<Record<number, AnswerShape>>;
  /** Problems of its own. */
  readonly problems: readonly Problem['code'][];
  /** Whether it changes something: it leaves an audit line, and a session's call must prove that its page made it. */
  readonly writes: boolean;
  /** It tells or changes what is the whole node's: a caller that is held to tenants may not (403). */
  readonly isNodeWide?: boolean;
  readonly run: (call: Call<unknown, unknown, unknown>) => Answer | Promise<Answer>;
}

interface Shapes<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType | null> {
  readonly pathShape: P;
  readonly queryShape: Q;
  readonly bodyShape: B;
}

type Typed<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType | null> = Omit<
  Operation,
  'run' | keyof Shapes<P, Q, B>
> &
  Shapes<P, Q, B> & {
    readonly run: (
      call: Call<z.output<P>, z.output<Q>, B extends z.ZodType ? z.output<B> : null>,
    ) => Answer | Promise<Answer>;
  };

/** An operation whose `run` is given what its shapes say. */
export function operation<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType | null>(
  row: Typed<P, Q, B>,
): Operation {
  return row as unknown as Operation;
}

/** From a path to an operation's answer: who may, in which shape, and how it is told. */

import { z } from 'zod';
import type { Audit } from './audit.ts';
import type { AskedCall, ToldAnswer } from './console-messages.ts';
import type { Front } from './front.ts';
import { type Answer, type Caller, type Operation, ROLES } from './operation.ts';
import { Problem, type ProblemPart } from './problem.ts';
import { problemAnswer, SAFE_FIELDS } from './problem-answer.ts';

/** Where every operation is. */
export const API_ROOT = '/admin/v1';

/** What is answered, and which operation did. */
export interface Routed {
  readonly answer: ToldAnswer;
  /** Null: none was found, or the caller was not let in. */
  readonly operation: Operation | null;
  readonly caller: Caller | null;
}

/** Of one path: its segments, `{name}` as null with the name beside it. */
interface Place {
  readonly segments: readonly (string | null)[];
  readonly names: readonly string[];
  readonly methods: Map<string, Operation>;
}

export class Router {
  readonly #places: readonly Place[];
  readonly #front: Front;
  readonly #audit: Audit;
  readonly #fail: (operation: string, error: unknown) => void;

  /** @param fail told of what no operation is expected to throw */
  constructor(
    operations: readonly Operation[],
    front: Front,
    audit: Audit,
    fail: (operation: string, error: unknown) => void,
  ) {
    this.#places = placesOf(operations);
    this.#front = front;
    this.#audit = audit;
    this.#fail = fail;
  }

  /** @param asked its path begins with the API's root */
  async route(asked: AskedCall, fields: Entered): Promise<Routed> {
    let caller: Caller | null = null;
    try {
      const [path = '', query = ''] = split(asked.target);
      const found = this.#find(path.slice(API_ROOT.length));
      // The one thing that somebody may do who is nobody yet.
      const isSignIn = found?.place.methods.get(asked.method)?.id === 'signIn';
      caller = isSignIn
        ? this.#front.stranger(fields, asked.peer)
        : this.#front.identify(fields, asked.peer);
      if (found === null) throw new Problem('not_found');
      const { methods } = found.place;
      const method = asked.method === 'HEAD' ? 'GET' : asked.method;
      const operation = methods.get(method);
      if (operation === undefined) {
        const allow = [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : [])];
        const answer = problemAnswer(new Problem('method_not_allowed'), [
          'allow',
          allow.join(', '),
        ]);
        return { answer, operation: null, caller };
      }
      const answer = await this.#run(operation, caller, {
        path: found.values,
        at: path.slice(API_ROOT.length),
        query,
        fields,
        body: asked.body,
      });
      return { answer, operation, caller };
    } catch (error) {
      return { answer: this.#told('routing', error), operation: null, caller };
    }
  }

  #find(
    path: string,
  ): { readonly place: Place; readonly values: Readonly<Record<string, string>> } | null {
    const segments = path.split('/').slice(1).map(decoded);
    if (segments.includes(null)) return null;
    const place = this.#places.find(
      (known) =>
        known.segments.length === segments.length &&
        known.segments.every((segment, at) => segment === null || segment === segments[at]),
    );
    if (place === undefined) return null;
    const given = segments.filter((_, at) => place.segments[at] === null);
    return {
      place,
      values: Object.fromEntries(place.names.map((name, at) => [name, given[at] ?? ''])),
    };
  }

  async #run(operation: Operation, caller: Caller, given: Given): Promise<ToldAnswer> {
    let answer: ToldAnswer;
    let audited: Answer['audited'];
    let body: unknown = null;
    try {
      if (ROLES.indexOf(caller.role) < ROLES.indexOf(operation.role))
        throw new Problem('not_allowed', `It needs the role ${operation.role}.`);
      if (operation.isNodeWide === true && caller.tenants !== null)
        throw new Problem(
          'not_allowed',
          'It is of the whole node, and this token is held to tenants.',
        );
      if (operation.writes) this.#front.provePage(caller);
      const path = checked('path', operation.pathShape, given.path);
      const query = checked('query', operation.queryShape, queryOf(operation, given.query));
      const ifMatch = ifMatchOf(given.fields.only('if-match'), given.fields.has('if-match'));
      body = bodyOf(operation, given);
      const told = await operation.run({ caller, path, query, body, ifMatch });
      audited = told.audited;
      answer = answerOf(operation, told);
    } catch (error) {
      answer = this.#told(operation.id, error);
    }
    // A sign-in is written down by whoever it turns out to be.
    if (operation.writes && operation.id !== 'signIn')
      this.#audit.write({
        author: caller.name,
        role: caller.role,
        operation: operation.id,
        place: given.at,
        reason: reasonOf(body),
        status: answer.status,
        before: audited?.before ?? null,
        after: audited?.after ?? null,
      });
    return answer;
  }

  #told(operation: string, error: unknown): ToldAnswer {
    if (error instanceof Problem) return problemAnswer(error);
    this.#fail(operation, error);
    return problemAnswer(new Problem('internal_error'));
  }
}

/** What a call brings, nothing of it checked. */
interface Given {
  readonly path: Readonly<Record<string, string>>;
  /** Behind the API's root, as it came. */
  readonly at: string;
  readonly query: string;
  readonly fields: Entered;
  readonly body: Uint8Array | null;
}

type Entered = Parameters<Front['identify']>[0];

function placesOf(operations: readonly Operation[]): readonly Place[] {
  const places = new Map<string, Place>();
  for (const operation of operations) {
    const parts = operation.path.split('/').slice(1);
    const segments = parts.map((part) => (part.startsWith('{') ? null : part));
    const names = parts.filter((part) => part.startsWith('{')).map((part) => part.slice(1, -1));
    const place = places.get(operation.path) ?? { segments, names, methods: new Map() };
    place.methods.set(operation.method, operation);
    places.set(operation.path, place);
  }
  // What is written out comes before what can be anything.
  const open = ({ segments }: Place): number => segments.filter((part) => part === null).length;
  return [...places.values()].sort((left, right) => open(left) - open(right));
}

/** Path and query of a request target; what is no path is none of ours. */
export function split(target: string): readonly [path: string, query: string] {
  const at = target.indexOf('?');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
}

/** @returns null for what is no text, or one that could be taken for another path */
function decoded(segment: string): string | null {
  try {
    const text = decodeURIComponent(segment);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
    return text === '.' || text === '..' || /[\x00-\x1f\x7f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Misspelt, a filter would filter nothing, and nobody would know. */
function queryOf({ queryShape }: Operation, text: string): Readonly<Record<string, string>> {
  const known = Object.keys(queryShape.shape);
  const query: Record<string, string> = {};
  const parts: ProblemPart[] = [];
  for (const [name, value] of new URLSearchParams(text)) {
    const expected = known.length === 0 ? 'no query' : `one of ${known.join(', ')}, once`;
    if (!known.includes(name) || Object.hasOwn(query, name))
      parts.push({ key: `query.${name.slice(0, 64)}`, found: 'a text', expected });
    else query[name] = value;
  }
  if (parts.length > 0)
    throw new Problem('malformed', 'The query is not as the API document says.', { parts });
  return query;
}

function bodyOf({ bodyShape }: Operation, { body, fields }: Given): unknown {
  const hasBody = body !== null && body.length > 0;
  if (bodyShape === null) {
    if (hasBody) throw new Problem('malformed', 'This takes no body.');
    return null;
  }
  const type = fields.only('content-type') ?? '';
  if (hasBody && !/^application\/json\s*(?:;|$)/i.test(type)) throw new Problem('wrong_type');
  return checked('body', bodyShape, hasBody ? parsed(body) : undefined);
}

function parsed(body: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    return JSON.parse(text, (key, value: unknown) => {
      // A member of that name would be none of the object's own in other hands.
      if (key === '__proto__') throw new SyntaxError();
      return value;
    });
  } catch {
    throw new Problem('malformed', 'The body is no JSON.');
  }
}

function checked(where: string, shape: z.ZodType, value: unknown): unknown {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const parts = result.error.issues.slice(0, 20).map((issue) => ({
    key: [where, ...issue.path.map(String)].join('.').slice(0, 200),
    found: kindAt(value, issue.path),
    // Not what such a member is called: somebody may have pasted a token there.
    expected: issue.code === 'unrecognized_keys' ? membersOf(shape, issue.path) : issue.message,
  }));
  throw new Problem('malformed', `The ${where} is not as the API document says.`, { parts });
}

/** What may stand there, where that is an object's own members. */
function membersOf(shape: z.ZodType, path: readonly PropertyKey[]): string {
  const { properties } = z.toJSONSchema(shape, { io: 'input', unrepresentable: 'any' });
  const known = path.length === 0 ? Object.keys(properties ?? {}) : [];
  return known.length === 0
    ? 'no member beside those of the API document'
    : `no member but ${known.join(', ')}`;
}

/** What kind of value stands there; never the value, which may be a secret. */
function kindAt(value: unknown, path: readonly PropertyKey[]): string {
  const at = path.reduce<unknown>((of, key) => {
    const isObject = typeof of === 'object' && of !== null;
    return isObject && Object.hasOwn(of, key)
      ? (of as Record<PropertyKey, unknown>)[key]
      : undefined;
  }, value);
  if (at === undefined) return 'nothing';
  if (at === null) return 'null';
  return Array.isArray(at)
    ? 'a list'
    : ({ string: 'a text', object: 'an object' }[typeof at as string] ?? `a ${typeof at}`);
}

function ifMatchOf(text: string | null, isThere: boolean): string | null {
  if (!isThere) return null;
  const revision = /^"([\x21\x23-\x7e]{1,200})"$/.exec(text ?? '')?.[1];
  if (revision === undefined)
    throw new Problem('malformed', 'If-Match takes one revision in quotes, as ETag told it.');
  return revision;
}

function answerOf({ id }: Operation, answer: Answer): ToldAnswer {
  const { status, body, type, etag, location, fields: further = [] } = answer;
  const isText = type !== undefined;
  const told = body === undefined ? null : isText ? String(body) : `${JSON.stringify(body)}\n`;
  const csv = type === 'text/csv';
  return {
    status,
    fields: [
      ...(told === null
        ? []
        : ['content-type', csv ? 'text/csv; charset=utf-8' : (type ?? 'application/json')]),
      ...(csv ? ['content-disposition', `attachment; filename="${id}.csv"`] : []),
      'cache-control',
      'no-store',
      ...SAFE_FIELDS,
      ...(etag === undefined ? [] : ['etag', `"${etag}"`]),
      ...(location === undefined ? [] : ['location', location]),
      ...further.flat(),
    ],
    body: told,
  };
}

function reasonOf(body: unknown): string {
  if (typeof body !== 'object' || body === null || !('reason' in body)) return '';
  return typeof body.reason === 'string' ? body.reason : '';
}

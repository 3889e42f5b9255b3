/** Operations as the API document describes them, and calls of them: good ones, odd ones, and some that are none. */

import fc from 'fast-check';
import { NO_VALUE, type Schema, valuesOf } from './schema-values.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly schema: Schema;
}

export interface Content {
  readonly [type: string]: { readonly schema: Schema & { readonly $ref?: string } };
}

export interface Described {
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** What is tried of one operation. */
export interface Try {
  readonly path: string;
  readonly query: string;
  readonly fields: Readonly<Record<string, string>>;
  /** JSON; undefined: none. */
  readonly body: string | undefined;
}

/** Every operation, with its path and its method in capitals. */
export function operationsOf({
  paths,
}: ApiDocument): readonly (readonly [path: string, method: string, row: Described])[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, row]) => [path, method.toUpperCase(), row] as const),
  );
}

export function triesOf(path: string, { parameters, requestBody }: Described): fc.Arbitrary<Try> {
  const given = fc.record(
    Object.fromEntries(
      parameters.map(({ name, required, schema }) => {
        const fitting = { weight: 6, arbitrary: valuesOf(schema) };
        const other = { weight: 1, arbitrary: NO_VALUE };
        const absent = { weight: required ? 0 : 5, arbitrary: fc.constant(undefined) };
        return [name, fc.oneof(fitting, other, absent)];
      }),
    ),
  );
  const schema = requestBody?.content['application/json']?.schema;
  const bodies =
    schema === undefined
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 6, arbitrary: valuesOf(schema) },
          { weight: 1, arbitrary: NO_VALUE },
          { weight: 1, arbitrary: fc.constant(undefined) },
        );
  return fc.tuple(given, bodies).map(([values, body]) => {
    const text = (name: string) => textOf((values as Record<string, unknown>)[name]);
    const of = (where: Parameter['in']) =>
      parameters.filter(
        (one) => one.in === where && (values as Record<string, unknown>)[one.name] !== undefined,
      );
    const query = new URLSearchParams(
      of('query').map(({ name }): [string, string] => [name, text(name)]),
    );
    const fields = of('header').map(({ name }) => [name, text(name)] as const);
    return {
      path: path.replaceAll(
        /\{(\w+)\}/g,
        (_, name: string) => encodeURIComponent(text(name)) || '%20',
      ),
      query: query.toString(),
      // What a client may not send is not what is asked about.
      fields: Object.fromEntries(fields.filter(([, value]) => /^[\x20-\x7e]+$/.test(value))),
      body: body === undefined ? undefined : JSON.stringify(body),
    };
  });
}

const textOf = (value: unknown): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).toWellFormed();

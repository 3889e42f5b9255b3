/** The document of the admin API (OpenAPI 3.1), made of the rows that calls are checked by: neither can say something else. */

import { z } from 'zod';
import { VERSION } from '../version.ts';
import type { AnswerShape, Operation } from './operation.ts';
import { Problem, type ProblemCode } from './problem.ts';
import { API_ROOT } from './router.ts';

const PROBLEM = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  parts: z.array(z.object({ key: z.string(), found: z.string(), expected: z.string() })),
});

type Json = Readonly<Record<string, unknown>>;

/** What every operation can answer, whoever calls it how. */
const ALWAYS: readonly ProblemCode[] = [
  'malformed',
  'no_credentials',
  'not_allowed',
  'too_large',
  'too_many',
  'internal_error',
  'unavailable',
];

/** @returns JSON */
export function apiDocument(operations: readonly Operation[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of operations) {
    const methods = paths[operation.path] ?? {};
    methods[operation.method.toLowerCase()] = described(operation);
    paths[operation.path] = methods;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice admin API',
      version: VERSION,
      description:
        'See, explain and change what a Sluice gateway does. Money is a decimal text of USD, instants are ISO 8601 in UTC, ids are decimal texts. Errors are application/problem+json (RFC 9457).',
    },
    servers: [{ url: API_ROOT }],
    security: [{ token: [] }, { session: [] }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'As "sluice admin-token" prints it.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'sluice_session',
          description:
            'Of a browser; its writes have x-sluice-csrf, too, as GET /session tells it.',
        },
      },
      schemas: { Problem: schemaOf(PROBLEM, 'output') },
    },
  };
}

function described(operation: Operation): Json {
  const { id, summary, tag, role, pathShape, queryShape, bodyShape, answers } = operation;
  const codes = new Set([...ALWAYS, ...operation.problems]);
  if (operation.path.includes('{')) codes.add('not_found');
  if (bodyShape !== null) codes.add('wrong_type');
  if (operation.writes) codes.add('foreign_page');
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of codes) {
    const { status } = new Problem(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: Record<string, Json> = {};
  for (const [status, shape] of Object.entries(answers)) responses[status] = answerShape(shape);
  for (const [status, of] of [...byStatus].sort(([left], [right]) => left - right))
    responses[String(status)] = problemShape(of);
  return {
    operationId: id,
    summary,
    tags: [tag],
    description: `Needs the role ${role}.${operation.isNodeWide === true ? ' Not for tokens that are held to tenants.' : ''}`,
    ...(id === 'signIn' ? { security: [] } : {}),
    parameters: [
      ...parameters(pathShape, 'path'),
      ...parameters(queryShape, 'query'),
      ...(codes.has('precondition_required') || codes.has('changed_meanwhile') ? [IF_MATCH] : []),
    ],
    ...(bodyShape === null
      ? {}
      : {
          requestBody: {
            required: !bodyShape.safeParse(undefined).success,
            content: { 'application/json': { schema: schemaOf(bodyShape, 'input') } },
          },
        }),
    responses,
  };
}

const IF_MATCH: Json = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The ETag of what is replaced; without it, there must be nothing yet.',
  schema: { type: 'string', pattern: '^"[!#-~]{1,200}"$' },
};

function answerShape({ says, schema, types = [] }: AnswerShape): Json {
  const content: Record<string, Json> = {};
  if (schema !== undefined) content['application/json'] = { schema: schemaOf(schema, 'output') };
  for (const type of types) content[type] = { schema: { type: 'string' } };
  return Object.keys(content).length === 0 ? { description: says } : { description: says, content };
}

function problemShape(codes: readonly ProblemCode[]): Json {
  return {
    description: codes.map((code) => `${code}: ${new Problem(code).title}`).join(' '),
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}

function parameters(shape: z.ZodObject, place: 'path' | 'query'): readonly Json[] {
  const { properties = {}, required = [] } = schemaOf(shape, 'input') as {
    properties?: Readonly<Record<string, Json>>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema,
  }));
}

function schemaOf(shape: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { io, unrepresentable: 'any' });
  return schema;
}

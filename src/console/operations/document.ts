import { z } from 'zod';
import type { ConsoleRoom } from '../console-room.ts';
import { apiDocument } from '../openapi.ts';
import { type Operation, operation } from '../operation.ts';
import { NO_PATH, NO_QUERY } from '../shapes.ts';

/** The document that says what all the others are. */
export function documentOperations(room: ConsoleRoom): readonly Operation[] {
  let made: unknown = null;
  return [
    operation({
      id: 'openapi',
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document.',
      tag: 'node',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: {
        200: { says: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) },
      },
      problems: [],
      writes: false,
      run: () => {
        made ??= apiDocument(room.operations);
        return { status: 200, body: made };
      },
    }),
  ];
}

import { z } from 'zod';
import type { ConsoleRoom } from '../console-room.ts';
import { type Operation, operation } from '../operation.ts';
import { AUDIT_PAGE, NO_PATH } from '../shapes.ts';

/** Where a page ended: the number of its last line. */
const AUDIT_QUERY = z.object({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/)
    .optional(),
});

export function auditOperations(room: ConsoleRoom): readonly Operation[] {
  return [
    operation({
      id: 'audit',
      method: 'GET',
      path: '/audit',
      summary: 'What was changed through the console, by whom and why; the youngest first.',
      tag: 'audit',
      role: 'operator',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: AUDIT_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'A page of changes', schema: AUDIT_PAGE } },
      problems: [],
      writes: false,
      run: ({ query: { limit, cursor } }) => ({
        status: 200,
        body: room.audit.page(cursor ?? null, limit),
      }),
    }),
  ];
}

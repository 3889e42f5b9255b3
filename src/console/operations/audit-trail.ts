import type { ConsoleRoom } from '../console-room.ts';
import { csvAnswer } from '../lists.ts';
import { type Operation, operation } from '../operation.ts';
import { AUDIT_PAGE, AUDIT_QUERY, AUDIT_ROW, NO_PATH } from '../shapes.ts';

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
      answers: { 200: { says: 'A page of changes', schema: AUDIT_PAGE, types: ['text/csv'] } },
      problems: [],
      writes: false,
      run: ({ query: { limit, cursor, format } }) => {
        const page = room.audit.page(cursor ?? null, limit);
        return format === 'csv' ? csvAnswer(AUDIT_ROW, page.rows) : { status: 200, body: page };
      },
    }),
  ];
}

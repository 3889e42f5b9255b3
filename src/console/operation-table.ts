/** Every operation of the admin API, in the order in which its document has them. */

import type { ConsoleRoom } from './console-room.ts';
import type { Front } from './front.ts';
import type { Operation } from './operation.ts';
import { auditOperations } from './operations/audit-trail.ts';
import { documentOperations } from './operations/document.ts';
import { nodeOperations } from './operations/node-state.ts';
import { requestOperations } from './operations/request-operations.ts';
import { sessionOperations } from './operations/sign-in.ts';
import { usageOperations } from './operations/usage-operations.ts';

export function operationTable(room: ConsoleRoom, front: Front): readonly Operation[] {
  return [
    ...documentOperations(room),
    ...sessionOperations(room, front),
    ...nodeOperations(room),
    ...usageOperations(room.view),
    ...requestOperations(room.view),
    ...auditOperations(room),
  ];
}

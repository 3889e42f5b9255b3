/** Every operation of the admin API, in the order in which its document has them. */

import { AskedPast } from './asked-past.ts';
import type { ConsoleRoom } from './console-room.ts';
import { Denials } from './denials.ts';
import type { Front } from './front.ts';
import { KnownEntries } from './known-entries.ts';
import { LivePlans } from './live-plans.ts';
import type { Operation } from './operation.ts';
import { auditOperations } from './operations/audit-trail.ts';
import { cacheOperations } from './operations/cache-operations.ts';
import { configOperations } from './operations/config-operations.ts';
import { documentOperations } from './operations/document.ts';
import { entryOperations } from './operations/entry-operations.ts';
import { explainOperations } from './operations/explain-operation.ts';
import { guardOperations } from './operations/guard-operations.ts';
import { keyOperations } from './operations/key-operations.ts';
import { nodeOperations } from './operations/node-state.ts';
import { promptCacheOperations } from './operations/prompt-cache-operations.ts';
import { providerOperations } from './operations/provider-operations.ts';
import { purseOperations } from './operations/purse-operations.ts';
import { rehearseOperations } from './operations/rehearse-operation.ts';
import { requestOperations } from './operations/request-operations.ts';
import { sessionOperations } from './operations/sign-in.ts';
import { tenantOperations } from './operations/tenant-operations.ts';
import { usageOperations } from './operations/usage-operations.ts';

export function operationTable(room: ConsoleRoom, front: Front): readonly Operation[] {
  const { view } = room;
  const entries = new KnownEntries(view);
  const denials = new Denials(view);
  const live = new LivePlans(view);
  // One for all: what it has answered it knows.
  const past = new AskedPast(view, room.log);
  return [
    ...documentOperations(room),
    ...sessionOperations(room, front),
    ...nodeOperations(room),
    ...usageOperations(view, past),
    ...promptCacheOperations(view, live, past, () => room.ask('promptBreaks')),
    ...guardOperations(
      () => room.config,
      () => room.ask('guards'),
    ),
    ...cacheOperations({
      state: () => room.ask('cache'),
      purge: (of) => room.ask('purgeCache', of),
    }),
    ...requestOperations(view, past),
    ...keyOperations(view, entries, denials),
    ...tenantOperations(entries, denials),
    ...entryOperations(view, entries),
    ...purseOperations(view, past),
    ...providerOperations(view, live, past),
    ...configOperations(view, entries),
    ...explainOperations(view, live),
    ...rehearseOperations(room, live),
    ...auditOperations(room),
  ];
}

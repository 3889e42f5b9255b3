import { join } from 'node:path';
import { DenySet } from '../../src/deny/deny-set.ts';
import { encodeSnapshot, writeSnapshot } from '../../src/deny/deny-snapshot.ts';
import { createDenyTable } from '../../src/deny/deny-table.ts';
import { FOLDER } from '../peers/processes.ts';

/** Ids of the tenants that are cut off begin here, so that nobody who asks is one of them. */
const FIRST_DENIED = 1_000_000_000;

/**
 * The keys of a configuration whose deny-set has so many tenants. It is a snapshot, and NATS is not there: nothing else
 * then happens in the gateway than what has to happen for a set of that size.
 */
export async function denySettings(tenants: number): Promise<string> {
  if (tenants === 0) return '';
  const set = new DenySet(createDenyTable());
  const rescan = set.rescan();
  for (let i = 0; i < tenants; i++)
    rescan.apply({ kind: 'tenant', low: FIRST_DENIED + i, high: 0 }, { reason: 'spend', exp: 0 });
  rescan.commit();
  const path = join(FOLDER, `deny-${tenants}.snapshot`);
  await writeSnapshot(
    path,
    encodeSnapshot({
      bucket: 'ai-gateway',
      cursor: { bucketCreated: 'bench', revision: 1 },
      records: set.records(),
      count: set.size,
    }),
  );
  // Port 9 is "discard": nobody listens there.
  return `nats_url = "nats://127.0.0.1:9"\nsnapshot_path = "${path}"\n`;
}

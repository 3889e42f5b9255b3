import { z } from 'zod';
import { VERSION } from '../../version.ts';
import type { ConsoleRoom } from '../console-room.ts';
import { type Operation, operation } from '../operation.ts';
import { NO_PATH, NO_QUERY, NODE, NOW, REASON_WISH, REFUSALS } from '../shapes.ts';

/** As `/refusals` has a row. */
interface RefusalRow {
  readonly tenant_id: string;
  readonly last_key_id: string | null;
  readonly reason: string;
  readonly count: number;
  readonly last: string;
}

const RELOADED = z.object({ ok: z.boolean(), problems: z.array(z.string()) });

/** What is this node's alone. */
export function nodeOperations(room: ConsoleRoom): readonly Operation[] {
  return [
    operation({
      id: 'node',
      method: 'GET',
      path: '/node',
      summary: 'Which gateway this is, and what answers its questions of the past.',
      tag: 'node',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'The node', schema: NODE } },
      problems: [],
      writes: false,
      run: () => ({ status: 200, body: nodeOf(room) }),
    }),
    operation({
      id: 'now',
      method: 'GET',
      path: '/now',
      summary: 'How this node is doing at this moment.',
      tag: 'node',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'The last second', schema: NOW } },
      problems: [],
      writes: false,
      run: async () => ({ status: 200, body: await room.ask('now') }),
    }),
    operation({
      id: 'live',
      method: 'GET',
      path: '/live',
      summary:
        'The same each second, as server-sent events called "now". It ends with a reload: ask again.',
      tag: 'node',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Events', types: ['text/event-stream'] } },
      problems: [],
      writes: false,
      // The main thread writes them, once it is told that this caller may read them.
      run: () => ({ status: 200, type: 'text/event-stream', body: '' }),
    }),
    operation({
      id: 'refusals',
      method: 'GET',
      path: '/refusals',
      summary: 'Who was refused most since this node started, and why.',
      tag: 'node',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Tenants and reasons, most first', schema: REFUSALS } },
      problems: [],
      writes: false,
      run: async ({ caller: { tenants } }) => {
        const { top } = JSON.parse(await room.ask('refusals')) as { top: readonly RefusalRow[] };
        const rows = top
          .filter(({ tenant_id: tenant }) => tenants?.has(tenant) ?? true)
          .map(({ tenant_id: tenant, last_key_id: key, reason, count, last }) => ({
            tenant,
            key: key ?? '',
            reason,
            count,
            last,
          }));
        return { status: 200, body: { rows } };
      },
    }),
    operation({
      id: 'reload',
      method: 'POST',
      path: '/config/reload',
      summary: 'Reads the configuration again; it is taken whole, or not at all.',
      tag: 'config',
      role: 'owner',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: REASON_WISH,
      answers: {
        200: { says: 'Whether it was taken, and what is wrong with it', schema: RELOADED },
      },
      problems: [],
      writes: true,
      run: async () => ({ status: 200, body: await room.ask('reload') }),
    }),
  ];
}

function nodeOf({ config, node, startedMs, document }: ConsoleRoom): z.output<typeof NODE> {
  const { dataDir, ledger, ledgerUrl, natsUrl } = config;
  const url = ledgerUrl?.reveal() ?? null;
  const outside = url === null ? null : url.startsWith('postgres') ? 'postgres' : 'clickhouse';
  const own = dataDir !== null && ledger ? 'node' : null;
  return {
    name: node,
    version: VERSION,
    started: new Date(startedMs).toISOString(),
    ledger: outside ?? own,
    zone: document.budgets.timeZone,
    fleet: natsUrl !== null,
    demo: process.env['SLUICE_DEMO'] !== undefined,
  };
}

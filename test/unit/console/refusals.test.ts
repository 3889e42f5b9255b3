import { expect, test } from 'vitest';
import { Audit } from '../../../src/console/audit.ts';
import type { ConsoleStart, MainAnswers } from '../../../src/console/console-messages.ts';
import { ConsoleRoom } from '../../../src/console/console-room.ts';
import { nodeOperations } from '../../../src/console/operations/node-state.ts';
import { Sessions } from '../../../src/console/sessions.ts';
import { called, viewerOf } from '../../support/console.ts';

const LAST = '2026-11-29T12:00:00.000Z';

test('who was refused is told of a caller’s tenants alone', async () => {
  const row = { reason: 'rate_limited', count: 3, last: LAST };
  const top = [
    { ...row, tenant_id: '8', last_key_id: '8001' },
    { ...row, tenant_id: '7', last_key_id: null },
  ];
  const log = { write: () => {} };
  const refusals: MainAnswers['refusals'] = JSON.stringify({ top });
  const room: ConsoleRoom = new ConsoleRoom({
    start: { config: {} } as ConsoleStart,
    log,
    sessions: new Sessions(),
    audit: new Audit(null, log),
    live: { over: () => {} },
    ask: (question) => queueMicrotask(() => room.told(question, refusals)),
  });
  const operations = nodeOperations(room);
  const seven = { ...row, tenant: '7', key: '' };
  const told = async (said = {}) => (await called(operations, 'refusals', said)).body;
  expect(await told()).toEqual({ rows: [{ ...row, tenant: '8', key: '8001' }, seven] });
  expect(await told({ caller: viewerOf('7') })).toEqual({ rows: [seven] });
  expect(await told({ caller: viewerOf() })).toEqual({ rows: [] });
});

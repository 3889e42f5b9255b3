import type { z } from 'zod';
import type { Config } from '../../config/config-document.ts';
import type { GuardCounts } from '../../settle/metrics.ts';
import { type Operation, operation } from '../operation.ts';
import { GUARDS, NO_PATH, NO_QUERY } from '../shapes.ts';

type Shown = z.output<typeof GUARDS>;

/**
 * What guards do, and for whom.
 * @param config as it runs
 * @param counts what the main thread counts of them
 */
export function guardOperations(
  config: () => Config,
  counts: () => Promise<GuardCounts>,
): readonly Operation[] {
  return [
    operation({
      id: 'guards',
      method: 'GET',
      path: '/guards',
      summary:
        'What guards found and did on this node, and which policies name them. Never a text.',
      tag: 'guards',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Counted since this node started.', schema: GUARDS } },
      problems: ['unavailable'],
      writes: false,
      run: async () => ({ status: 200, body: { ...(await counts()), guards: rowsOf(config()) } }),
    }),
  ];
}

function rowsOf({ guards, policy }: Config): Shown['guards'] {
  return [...guards.values()].map(({ name, made, action, phases, onError, onUnscanned }) => ({
    name,
    kind: made.kind,
    action,
    phases: [...phases],
    on_error: onError,
    on_unscanned: onUnscanned,
    policies: [...policy.policies]
      .filter(([, said]) => said.guards?.includes(name) === true)
      .map(([policyName]) => policyName),
  }));
}

/** Entry of a thread that runs an operator's module: one call after the other, as its pool hands them over. */

import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { failed, KEEP } from './judge-failure.ts';
import { fenceOff, silence } from './module-fence.ts';
import { hookJudgement, type ModuleHooks, moduleHooks } from './module-hooks.ts';
import type { FromThread, ModuleCall, ThreadStart } from './module-messages.ts';

const start = workerData as ThreadStart;
const port = parentPort;

function tell(message: FromThread): void {
  port?.postMessage(message);
}

async function judge(hooks: ModuleHooks, asked: ModuleCall): Promise<void> {
  const hook = hooks[asked.phase];
  const judgement = hook === null ? KEEP : await hookJudgement(hook, asked);
  const outsideBytes = getHeapStatistics().external_memory;
  tell({ kind: 'judged', call: asked.call, judgement, outsideBytes });
}

silence();
if (!start.network) fenceOff();
try {
  const hooks = moduleHooks(await import(start.url));
  if (typeof hooks === 'string') tell({ kind: 'unusable', why: hooks });
  else {
    port?.on('message', (asked: ModuleCall) => {
      judge(hooks, asked).catch(() =>
        tell({ kind: 'judged', call: asked.call, judgement: failed('nonsense'), outsideBytes: 0 }),
      );
    });
    tell({ kind: 'ready', request: hooks.request !== null, response: hooks.response !== null });
  }
} catch (error) {
  tell({ kind: 'unusable', why: error instanceof Error ? error.message : 'it throws' });
}

/**
 * The process of an operator's module: gives calls to its threads, and their verdicts back. Its own thread runs nothing of
 * the module, so that it ends with the gateway whatever the module does.
 */

import { setPriority } from 'node:os';
import { Deadlines } from '../../ticker.ts';
import { closeNetwork } from './closed-network.ts';
import type { FromModuleProcess, ToModuleProcess } from './module-messages.ts';
import { ModulePool } from './module-pool.ts';

/** Below the gateway (0): a module that hangs takes no core from who relays. */
const NICE = 5;

/** How exactly a budget ends, in milliseconds. */
const DUE_PERIOD_MS = 5;

let pool: ModulePool | null = null;

function tell(message: FromModuleProcess): void {
  if (process.connected) process.send?.(message);
}

// A terminal's Ctrl-C and a service manager's stop reach it, too: the gateway drains for a while, and its guards with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit());
try {
  setPriority(0, NICE);
} catch {
  // It competes with the gateway then.
}

process.on('message', (message: ToModuleProcess) => {
  switch (message.kind) {
    case 'start': {
      const isOffline = !message.settings.network && closeNetwork();
      pool = new ModulePool(message.settings, new Deadlines(DUE_PERIOD_MS), {
        loaded: () => tell({ kind: 'loaded', isOffline }),
        notLoaded: (why) => tell({ kind: 'not-loaded', why }),
        threadLost: (why) => tell({ kind: 'thread-lost', why }),
      });
      break;
    }
    case 'call': {
      const { call } = message.asked;
      pool?.judge(message.asked, (judgement) => tell({ kind: 'judged', call, judgement }));
      break;
    }
    case 'left':
      pool?.left(message.call);
      break;
  }
});

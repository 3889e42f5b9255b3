import type { ConfigSource } from '../config/config.ts';
import type { ConfigDocument } from '../config/config-document.ts';
import { Problem } from './problem.ts';

/** What the console's operations look at, and the memory that they share with the workers. */
export interface GatewayView {
  /** Where the configuration is read from, as when the gateway was started. */
  readonly source: ConfigSource;
  /** As it runs: another object behind each reload. */
  running(): ConfigDocument;
  /** As `createHealthTable` and its like made them. */
  readonly memory: {
    readonly health: SharedArrayBuffer;
    readonly pins: SharedArrayBuffer;
    readonly limits: SharedArrayBuffer;
    readonly budgets: SharedArrayBuffer;
    readonly deny: SharedArrayBuffer;
  };
  /** Unix time in milliseconds. */
  now(): number;
}

/**
 * A reader of the ledger, opened when it is first asked.
 * @returns who gives it; throws a Problem where there is no ledger
 */
export function ledgerOf<Reader extends { readonly exists: boolean }>(
  { running }: GatewayView,
  open: (dataDir: string) => Reader,
): () => Reader {
  let reader: Reader | null = null;
  return () => {
    const { dataDir, ledger } = running();
    if (dataDir === null || !ledger)
      throw new Problem('unavailable', 'There is no ledger: set data_dir in the configuration.');
    reader ??= open(dataDir);
    if (reader.exists) return reader;
    throw new Problem('unavailable', 'The ledger is not there yet.', { retryAfter: 1 });
  };
}

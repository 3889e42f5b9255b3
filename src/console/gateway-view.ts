import type { ConfigSource } from '../config/config.ts';
import type { ConfigDocument } from '../config/config-document.ts';

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

import type { Secret } from '../secret.ts';
import type { GuardSettings } from './guard.ts';
import type { PiiKind } from './pii/pii-kinds.ts';

/** A server that judges. */
interface ServerMade<Key> {
  readonly url: string;
  readonly timeoutMs: number;
  readonly maxInFlight: number;
  readonly apiKey: Key | null;
}

/** What a guard is made of: which of the parts it is, and what only that part is told. */
export type GuardMade<Key = Secret> =
  | {
      readonly kind: 'pii';
      /** What is looked for. */
      readonly detect: readonly PiiKind[];
    }
  | {
      readonly kind: 'injection';
      /** How sure it must be, above 0 and up to 1. */
      readonly threshold: number;
    }
  | {
      readonly kind: 'module';
      /** Absolute, once the configuration is read. */
      readonly path: string;
      /** A hash of what the file holds. */
      readonly version: string;
      readonly budgetMs: number;
      readonly threads: number;
      readonly memoryMb: number;
      readonly network: boolean;
    }
  | (ServerMade<Key> & {
      readonly kind: 'presidio';
      readonly language: string;
      /** Empty: all that it knows. */
      readonly entities: readonly string[];
      readonly minScore: number;
    })
  | (ServerMade<Key> & {
      readonly kind: 'moderation';
      /** Empty: the server's own choice. */
      readonly model: string;
      /** Empty: all. */
      readonly categories: readonly string[];
    })
  | {
      readonly kind: 'logger';
      /** Empty: below `data_dir`, which stands there once the configuration is read. */
      readonly path: string;
      readonly maxBytes: number;
      readonly retentionDays: number;
    };

export type GuardKind = GuardMade['kind'];

/** One `[guards.NAME]` table, or a built-in guard that has none. */
export interface GuardConfig<Key = Secret> extends GuardSettings {
  readonly made: GuardMade<Key>;
}

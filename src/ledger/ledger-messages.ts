/** What the main thread and the ledger's thread say to each other. */

/** Handed to the thread when it is made. */
export interface LedgerStart {
  readonly dataDir: string;
  /** Days that facts are kept; 0 = for ever. */
  readonly retentionDays: number;
  /** A data base that gets every fact, with its password; null: none does. */
  readonly url: string | null;
  /** Begins the names of this process's own files of facts that wait. */
  readonly owner: string;
}

export type ToLedger =
  /** Usage facts, each ended by a newline. */
  | { readonly kind: 'facts'; readonly lines: Uint8Array }
  /** A file of facts that waited; it is taken away when all of them are kept. */
  | { readonly kind: 'backlog'; readonly name: string }
  /** What is known of a request. */
  | { readonly kind: 'find'; readonly call: number; readonly requestId: string }
  /** Keep what has come, and end. */
  | { readonly kind: 'stop' };

export type FromLedger =
  /** Its files are there, and can be written. */
  | { readonly kind: 'ready' }
  /** This version must not write them. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Of what was told this much is kept. */
  | {
      readonly kind: 'taken';
      readonly batches: number;
      readonly added: number;
      readonly known: number;
      readonly unreadable: number;
    }
  | { readonly kind: 'backlog-taken'; readonly name: string }
  /** Writing begins to fail, or works again. */
  | { readonly kind: 'state'; readonly failure: string | null }
  /** The data base has these, and has refused those for good. */
  | { readonly kind: 'sent'; readonly facts: number; readonly refused: number }
  | { readonly kind: 'found'; readonly call: number; readonly lines: readonly string[] }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly event: string;
      readonly fields: Readonly<Record<string, string | number | null>>;
    }
  | { readonly kind: 'stopped' };

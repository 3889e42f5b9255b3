import { createRequire } from 'node:module';
import { FactRefused, type FactSink } from './outbox.ts';

/** How long a connection, and an answer, may take, in milliseconds. */
const CONNECT_MS = 10_000;
const ANSWER_MS = 60_000;

/**
 * One statement a batch. The record set gives each member to the column of its name, and passes over what the table has not.
 * Twice the same is once.
 */
const INSERT =
  'INSERT INTO ai_usage SELECT * FROM jsonb_populate_recordset(NULL::ai_usage, $1::jsonb) ON CONFLICT (request_id, attempt) DO NOTHING';

/** What of the package `pg` is used here. */
interface Client {
  connect(): Promise<unknown>;
  query(sql: string, values: readonly string[]): Promise<unknown>;
  end(): Promise<void>;
  on(event: 'error', heard: (error: Error) => void): void;
}
interface Pg {
  readonly Client: new (options: {
    readonly connectionString: string;
    readonly connectionTimeoutMillis: number;
    readonly query_timeout: number;
    readonly application_name: string;
  }) => Client;
}

const require = createRequire(import.meta.url);

/** The table `ai_usage` of a Postgres (docs/facts.md has it). */
export class PostgresSink implements FactSink {
  readonly name: string;
  readonly #url: string;
  #client: Client | null = null;

  /** @param url `postgres://…`, with its password */
  constructor(url: string) {
    const { host, pathname } = new URL(url);
    this.name = `postgres ${host}${pathname}`;
    this.#url = url;
  }

  async send(lines: readonly string[]): Promise<void> {
    const client = await this.#connected();
    try {
      await client.query(INSERT, [`[${lines.join(',')}]`]);
    } catch (error) {
      // SQLSTATE classes 22 and 23: the data, and not the connection (www.postgresql.org/docs/15/errcodes-appendix.html).
      const { code = '', message } = error as { readonly code?: string; readonly message: string };
      if (/^2[23]/.test(code)) throw new FactRefused(message);
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => {});
  }

  async #connected(): Promise<Client> {
    if (this.#client !== null) return this.#client;
    // Loaded where it is used: who has no Postgres pays nothing for it.
    const pg = require('pg') as Pg;
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: ANSWER_MS,
      application_name: 'sluice',
    });
    // A connection that ends while nobody waits for it is made anew.
    client.on('error', () => {
      if (this.#client === client) this.#client = null;
    });
    await client.connect();
    this.#client = client;
    return client;
  }
}

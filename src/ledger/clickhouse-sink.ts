import { FactRefused, type FactSink } from './outbox.ts';

/** How long an answer may take, in milliseconds. */
const ANSWER_MS = 60_000;

/** Of an error, in characters: enough to know which one it is. */
const SAID_CHARACTERS = 200;

/**
 * Members that are objects go into columns of texts, times are read as they stand, and what the table has not is passed over.
 */
const SETTINGS = {
  date_time_input_format: 'best_effort',
  input_format_json_read_objects_as_strings: '1',
  input_format_skip_unknown_fields: '1',
} as const;

/** What is wrong with the data: CANNOT_PARSE_…, INCORRECT_DATA, TYPE_MISMATCH, ARGUMENT_OUT_OF_BOUND. */
const DATA_ERRORS: ReadonlySet<string> = new Set([
  '6',
  '26',
  '27',
  '38',
  '41',
  '53',
  '69',
  '72',
  '117',
]);

/** The table `ai_usage` of a ClickHouse (docs/facts.md has it), over its HTTP interface. What it gets twice it merges. */
export class ClickHouseSink implements FactSink {
  readonly name: string;
  readonly #to: URL;
  readonly #fields: Readonly<Record<string, string>>;

  /** @param url `http(s)://[user:password@]host:port[/database]` */
  constructor(url: string) {
    const { protocol, host, pathname, username, password } = new URL(url);
    this.name = `clickhouse ${host}${pathname}`;
    this.#to = new URL(`${protocol}//${host}/`);
    const database = pathname.slice(1);
    if (database !== '') this.#to.searchParams.set('database', database);
    this.#to.searchParams.set('query', 'INSERT INTO ai_usage FORMAT JSONEachRow');
    for (const [name, value] of Object.entries(SETTINGS)) this.#to.searchParams.set(name, value);
    this.#fields =
      username === ''
        ? {}
        : {
            'x-clickhouse-user': decodeURIComponent(username),
            'x-clickhouse-key': decodeURIComponent(password),
          };
  }

  async send(lines: readonly string[]): Promise<void> {
    const response = await fetch(this.#to, {
      method: 'POST',
      headers: this.#fields,
      body: `${lines.join('\n')}\n`,
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const said = (await response.text()).slice(0, SAID_CHARACTERS);
    if (response.ok) return;
    const code = response.headers.get('x-clickhouse-exception-code') ?? '';
    const message = `${response.status} ${said}`;
    throw DATA_ERRORS.has(code) ? new FactRefused(message) : new Error(message);
  }

  async close(): Promise<void> {}
}

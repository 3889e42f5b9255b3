import { wideDecimalOf } from '../prices/money.ts';
import type { FactWish } from './day-file.ts';
import { DIMENSIONS, type Dimension } from './fact-kind.ts';
import { quarterOf } from './ledger-files.ts';
import { type Past, PastAway, type PastPage } from './past.ts';
import {
  FACT_MEMBERS,
  factLineOf,
  factOfLine,
  isTablePlace,
  type PastRow,
  ROWS_MAX,
  type TablePlace,
  usageRows,
  usageSeries,
} from './past-rows.ts';
import { TooManyRows } from './too-many-rows.ts';
import {
  QUARTER_MS,
  type Span,
  type UsageFilters,
  type UsageRow,
  type UsageSeries,
} from './usage-report.ts';

/** Questions at a time; the others wait, and their time runs. */
const QUESTIONS_MAX = 4;

/** How long a statement there, and a question with its waiting here, may take, in milliseconds. */
const STATEMENT_MS = 8_000;
const ANSWER_MS = 12_000;

/** What holds for each statement. Numbers of 64 bits are counts here: ids and money are asked for as texts. */
const SETTINGS = {
  max_execution_time: String(STATEMENT_MS / 1_000),
  output_format_json_quote_64bit_integers: '0',
  // A statement that fails in the middle of its rows says so in its status, and not behind them.
  wait_end_of_query: '1',
} as const;

/** Of a fact, what each dimension is: as `FactKind` has it. */
const DIMENSION_OF: Readonly<Record<Dimension, string>> = {
  tenant: 'toString(tenant_id)',
  key: "ifNull(toString(key_id), '')",
  class: 'toString(key_class)',
  provider: "ifNull(toString(provider), '')",
  model: "coalesce(nullIf(CAST(model, 'Nullable(String)'), ''), requested_model, '')",
  route: "ifNull(CAST(route, 'Nullable(String)'), '')",
  status:
    "if(outcome = 'complete' AND upstream_status IS NOT NULL, ifNull(toString(upstream_status), ''), toString(outcome))",
};

const CACHED = 'ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)';

/** What facts add up to. */
const SUM_OF = {
  facts: 'count()',
  requests: 'countIf(final)',
  input: `sum(ifNull(input_tokens, 0) + if(dialect = 'anthropic', ${CACHED}, 0))`,
  output: 'sum(ifNull(output_tokens, 0))',
  cache_read: 'sum(ifNull(cache_read_tokens, 0))',
  cache_write: 'sum(ifNull(cache_write_tokens, 0))',
  reasoning: 'sum(ifNull(reasoning_tokens, 0))',
  duration_ms: 'sum(duration_ms)',
  usd: 'sum(ifNull(cost_usd, toDecimal128(0, 12)))',
  unpriced: "countIf(cost_status = 'unpriced')",
  estimated: "countIf(usage_source = 'estimated')",
} as const;
const ADDED = Object.entries(SUM_OF)
  .map(([name, sum]) => `${sum} AS n_${name}`)
  .join(', ');
const ADDED_AGAIN = Object.keys(SUM_OF)
  .map((name) => (name === 'usd' ? 'toString(sum(n_usd)) AS usd' : `sum(n_${name}) AS ${name}`))
  .join(', ');

/** Columns whose values are no texts and no numbers that a double holds. */
const MEMBER_OF: Readonly<Record<string, string>> = {
  time: 'toString(toUnixTimestamp64Milli(time))',
  tenant_id: 'toString(tenant_id)',
  vpc_id: 'toString(vpc_id)',
  key_id: 'toString(key_id)',
  cost_usd: 'toString(cost_usd)',
};
/** By names of their own: a column that is asked for under its own name would be that in every condition, too. */
const MEMBERS = FACT_MEMBERS.map((name) => `${MEMBER_OF[name] ?? name} AS f_${name}`).join(', ');
/** Texts that hold JSON. */
const JSON_MEMBERS: ReadonlySet<string> = new Set(['usage_raw', 'tool_uses', 'lines']);

/** What is there twice counts once, merged or not. */
const TABLE = 'ai_usage FINAL';

/** The past of a fleet: the table `ai_usage` of a ClickHouse (docs/facts.md has it). */
export class ClickHousePast implements Past {
  readonly exists = true;
  readonly #to: URL;
  readonly #fields: Readonly<Record<string, string>>;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param url `http(s)://[user:password@]host:port[/database]` */
  constructor(url: string) {
    const { protocol, host, pathname, username, password } = new URL(url);
    this.#to = new URL(`${protocol}//${host}/`);
    const database = pathname.slice(1);
    if (database !== '') this.#to.searchParams.set('database', database);
    for (const [name, value] of Object.entries(SETTINGS)) this.#to.searchParams.set(name, value);
    this.#fields =
      username === ''
        ? {}
        : {
            'x-clickhouse-user': decodeURIComponent(username),
            'x-clickhouse-key': decodeURIComponent(password),
          };
  }

  async by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters,
  ): Promise<readonly UsageRow[]> {
    const columns = dimensions.map((name) => `${DIMENSION_OF[name]} AS d_${name}`);
    const groups = dimensions.map((name) => `d_${name}`).join(', ');
    const inner = `SELECT ${[...columns, ADDED].join(', ')} FROM ${TABLE} WHERE ${within(span, filters)} ${groups === '' ? '' : `GROUP BY ${groups}`}`;
    const told = dimensions.map((name) => `d_${name} AS ${name}, `).join('');
    const rows = await this.#ask(
      `SELECT ${told}${ADDED_AGAIN} FROM (${inner}) ${groups === '' ? '' : `GROUP BY ${groups}`} LIMIT ${ROWS_MAX + 1}`,
    );
    if (rows.length > ROWS_MAX) throw new TooManyRows(ROWS_MAX);
    return usageRows(dimensions, rows.map(withCost));
  }

  async series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters,
    top: number,
  ): Promise<readonly UsageSeries[]> {
    const span = { fromMs: starts[0] ?? toMs, toMs };
    const value = dimension === null ? "''" : DIMENSION_OF[dimension];
    const from = `FROM ${TABLE} WHERE ${within(span, filters)}`;
    const quarters = `SELECT intDiv(toUnixTimestamp(time), 900) AS d_quarter, ${value} AS d_value, ${ADDED} ${from} GROUP BY d_quarter, d_value`;
    const own = `SELECT ${value} AS d_value ${from} GROUP BY d_value ORDER BY ${SUM_OF.usd} DESC, ${SUM_OF.facts} DESC, d_value LIMIT ${Number.isFinite(top) ? top : ROWS_MAX}`;
    const rows = await this.#ask(
      `SELECT toInt32(length(arrayFilter(at -> at <= d_quarter, [${starts.map(quarterOf).join(', ')}]))) - 1 AS step,
         d_value NOT IN (${own}) AS rest, if(rest, '', d_value) AS value, ${ADDED_AGAIN}
       FROM (${quarters}) GROUP BY step, rest, value`,
    );
    const told = rows.map((row) => ({ ...withCost(row), is_rest: Number(row['rest']) === 1 }));
    return usageSeries(told, starts.length);
  }

  isPlace(value: unknown): value is TablePlace {
    return isTablePlace(value);
  }

  async page(wish: FactWish, from: unknown, limit: number): Promise<PastPage> {
    const { fromMs, toMs, filters, outcome, onlyFinal, idPrefix } = wish;
    const place = isTablePlace(from) ? from : null;
    const where = [
      `time >= ${instant(fromMs)} AND time < ${instant(toMs)}`,
      ...(place === null
        ? []
        : [
            `(time, request_id, attempt) < (${instant(place.atMs)}, ${text(place.id)}, ${place.attempt})`,
          ]),
      ...agreeing(filters),
      ...(outcome === null ? [] : [`outcome = ${text(outcome)}`]),
      ...(onlyFinal ? ['final'] : []),
      ...(idPrefix === '' ? [] : [`startsWith(request_id, ${text(idPrefix)})`]),
    ].join(' AND ');
    const rows = await this.#ask(
      `SELECT ${MEMBERS} FROM ${TABLE} WHERE ${where} ORDER BY time DESC, request_id DESC, attempt DESC LIMIT ${limit + 1}`,
    );
    const found = rows.slice(0, limit).map((row) => factOfLine(lineOf(row)));
    const end = rows.length > limit ? rows[limit - 1] : undefined;
    if (end === undefined) return { found, next: null, searchedToMs: null };
    const next: TablePlace = {
      atMs: Number(end['f_time']),
      id: String(end['f_request_id']),
      attempt: Number(end['f_attempt']),
    };
    return { found, next, searchedToMs: next.atMs };
  }

  async find(requestId: string): Promise<readonly string[]> {
    const rows = await this.#ask(
      `SELECT ${MEMBERS} FROM ${TABLE} WHERE request_id = ${text(requestId)} ORDER BY attempt`,
    );
    return rows.map(lineOf);
  }

  async #ask(sql: string): Promise<readonly PastRow[]> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    let said: { readonly isOk: boolean; readonly code: string; readonly text: string };
    try {
      await this.#turn(signal);
      try {
        const response = await fetch(this.#to, {
          method: 'POST',
          headers: this.#fields,
          body: `${sql} FORMAT JSONEachRow`,
          redirect: 'error',
          signal,
        });
        const code = response.headers.get('x-clickhouse-exception-code') ?? '';
        said = { isOk: response.ok, code, text: await response.text() };
      } finally {
        this.#running--;
        this.#waiting.shift()?.();
      }
    } catch (error) {
      throw new PastAway(sentenceOf(''), { cause: error });
    }
    const { isOk, code, text: rows } = said;
    if (!isOk)
      throw new PastAway(sentenceOf(code), { cause: new Error(rows.slice(0, SAID_CHARACTERS)) });
    return rows
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as PastRow);
  }

  async #turn(signal: AbortSignal): Promise<void> {
    while (this.#running >= QUESTIONS_MAX) {
      await new Promise<void>((resolve, reject) => {
        const leave = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(wake), 1);
          reject(signal.reason as Error);
        };
        const wake = (): void => {
          signal.removeEventListener('abort', leave);
          resolve();
        };
        this.#waiting.push(wake);
        signal.addEventListener('abort', leave, { once: true });
      });
    }
    this.#running++;
  }
}

/** Of an error, in characters: enough to know which one it is. */
const SAID_CHARACTERS = 200;

/** By ClickHouse's own numbers of errors. */
function sentenceOf(code: string): string {
  if (code === '159')
    return `The fleet's ClickHouse did not answer this within ${STATEMENT_MS / 1_000} s: ask for a shorter time.`;
  if (code === '60' || code === '47')
    return "The fleet's ClickHouse has not the table ai_usage as docs/facts.md makes it.";
  if (code === '516' || code === '497')
    return "The fleet's ClickHouse does not let this gateway read ai_usage.";
  return "The fleet's ClickHouse, which ledger_url names, does not answer just now.";
}

/** Facts of whole quarters of an hour that agree with the filters. */
function within({ fromMs, toMs }: Span, filters: UsageFilters): string {
  const [first, end] = [quarterOf(fromMs), Math.ceil(toMs / QUARTER_MS)];
  const time = `time >= ${instant(first * QUARTER_MS)} AND time < ${instant(end * QUARTER_MS)}`;
  return [time, ...agreeing(filters)].join(' AND ');
}

function agreeing(filters: UsageFilters): readonly string[] {
  return DIMENSIONS.flatMap((name) => {
    const values = filters[name];
    if (values === undefined) return [];
    // The table is in the order of its tenants: as the number that it is, it is found and not looked for.
    const isTenant = name === 'tenant';
    const told = isTenant ? values.filter((id) => /^\d{1,20}$/.test(id)) : values.map(text);
    if (told.length === 0) return ['false'];
    return [`${isTenant ? 'tenant_id' : DIMENSION_OF[name]} IN (${told.join(', ')})`];
  });
}

/** A text that cannot be taken for anything else, whatever is in it. */
function text(value: string): string {
  return `unhex('${Buffer.from(value).toString('hex')}')`;
}

/** The years that a DateTime64 holds. */
const FIRST_MS = Date.parse('1970-01-01T00:00:00Z');
const LAST_MS = Date.parse('2261-12-31T00:00:00Z');

function instant(ms: number): string {
  return `fromUnixTimestamp64Milli(toInt64(${Math.min(Math.max(Math.ceil(ms), FIRST_MS), LAST_MS)}))`;
}

const USD_DECIMALS = 12;

function withCost(row: PastRow): PastRow {
  return { ...row, cost: wideDecimalOf(String(row['usd'] ?? '0'), USD_DECIMALS) ?? 0n };
}

function lineOf(row: PastRow): string {
  return factLineOf(
    Object.fromEntries(
      FACT_MEMBERS.map((name) => {
        const value = row[`f_${name}`] ?? null;
        if (name === 'time') return [name, new Date(Number(value)).toISOString()];
        if (!JSON_MEMBERS.has(name) || typeof value !== 'string') return [name, value];
        // A column that holds no null has nothing instead.
        return [name, value === '' ? null : (JSON.parse(value) as unknown)];
      }),
    ),
  );
}

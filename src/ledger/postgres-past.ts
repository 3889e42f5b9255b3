import { createRequire } from 'node:module';
import type { FactWish } from './day-file.ts';
import { DIMENSIONS, type Dimension } from './fact-kind.ts';
import { quarterOf } from './ledger-files.ts';
import { type Past, PastAway, type PastPage } from './past.ts';
import {
  factLineOf,
  factOfLine,
  isTablePlace,
  LOOKS_MAX,
  type PastRow,
  ROWS_MAX,
  type TablePlace,
  usageRows,
  usageSeries,
  viewOf,
} from './past-rows.ts';
import { TooManyRows } from './too-many-rows.ts';
import {
  QUARTER_MS,
  type Span,
  type UsageFilters,
  type UsageRow,
  type UsageSeries,
} from './usage-report.ts';

/** Connections at a time: screens ask little, and every node of a fleet has as many. */
const CONNECTIONS_MAX = 4;

/** How long a connection, one that is free, a statement there, and its answer here may take, in milliseconds. */
const CONNECT_MS = 4_000;
const STATEMENT_MS = 8_000;
const ANSWER_MS = 9_000;

/** What a statement may hold there while it adds up, in megabytes: sums of a month's hours by 200 keys are some 60. */
const WORK_MB = 64;

/** How long a connection that nobody uses is kept, in milliseconds. */
const IDLE_MS = 30_000;

/** An id as a worker gives it is looked up, and not looked for. */
const WHOLE_ID = /^req_[0-9a-f]{24}$/;

/** What of the package `pg` is used here. */
interface Pool {
  query(sql: string, values: readonly unknown[]): Promise<{ readonly rows: readonly PastRow[] }>;
  on(event: 'error', heard: (error: Error) => void): void;
}
interface Pg {
  readonly Pool: new (options: {
    readonly connectionString: string;
    readonly max: number;
    readonly connectionTimeoutMillis: number;
    readonly idleTimeoutMillis: number;
    readonly query_timeout: number;
    readonly options: string;
    readonly application_name: string;
    readonly allowExitOnIdle: boolean;
  }) => Pool;
}

const require = createRequire(import.meta.url);

/** Of a fact, what each dimension is: as `FactKind` has it, and as the sums of docs/facts.md do. */
const DIMENSION_OF: Readonly<Record<Dimension, string>> = {
  tenant: 'tenant_id::text',
  key: "coalesce(key_id::text, '')",
  class: 'key_class',
  provider: "coalesce(provider, '')",
  model: "coalesce(nullif(model, ''), requested_model, '')",
  route: "coalesce(route, '')",
  status:
    "CASE WHEN outcome = 'complete' AND upstream_status IS NOT NULL THEN upstream_status::text ELSE outcome END",
};

/** What facts add up to, each by itself: where the table of sums is not there, these are added up. */
const EACH_FACT = `SELECT floor(extract(epoch FROM time) / 900)::integer AS quarter,
  ${DIMENSIONS.map((name) => `${DIMENSION_OF[name]} AS ${name}`).join(', ')},
  1 AS facts, final::integer AS requests,
  coalesce(input_tokens, 0) + CASE WHEN dialect = 'anthropic' THEN coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) ELSE 0 END AS input,
  coalesce(output_tokens, 0) AS output, coalesce(cache_read_tokens, 0) AS cache_read, coalesce(cache_write_tokens, 0) AS cache_write,
  coalesce(reasoning_tokens, 0) AS reasoning, duration_ms, coalesce(cost_usd, 0) AS cost_usd,
  (cost_status = 'unpriced')::integer AS unpriced, (usage_source = 'estimated')::integer AS estimated
  FROM ai_usage`;

const COUNTS = [
  'facts',
  'requests',
  'input',
  'output',
  'cache_read',
  'cache_write',
  'reasoning',
  'duration_ms',
  'unpriced',
  'estimated',
] as const;
const ADDED = [...COUNTS, 'cost_usd'].map((name) => `sum(${name}) AS ${name}`).join(', ');
/** Money goes over the wire as whole pico-dollars: nothing on its way is a float. */
const TOLD = [
  ...COUNTS.map((name) => `sum(${name})::text AS ${name}`),
  'trunc(sum(cost_usd) * 1000000000000)::text AS cost',
].join(', ');

/** A row as JSON: ids and money as texts, times as facts have them. */
const FACT = `to_jsonb(f) || jsonb_build_object(
  'time', to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'tenant_id', tenant_id::text,
  'vpc_id', vpc_id::text, 'key_id', key_id::text, 'cost_usd', trim_scale(cost_usd)::text)`;

/** What a statement is given beside its text, in order. */
type Value = string | number | null | readonly (string | number)[];
type Values = unknown[];

/** The past of a fleet: the table `ai_usage` of a Postgres, and the sums beside it (docs/facts.md has both). */
export class PostgresPast implements Past {
  readonly exists = true;
  readonly #url: string;
  readonly #looks: number;
  #pool: Pool | null = null;
  #hasSums = false;

  /**
   * @param url `postgres://…`, with its password
   * @param looks so many facts are looked at for one page, at most
   */
  constructor(url: string, looks = LOOKS_MAX) {
    this.#url = url;
    this.#looks = looks;
  }

  async by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters,
  ): Promise<readonly UsageRow[]> {
    const values: Values = [];
    const from = await this.#sums(dimensions, span, filters, values);
    const columns = dimensions.map((name) => `${name}, `).join('');
    const groups = dimensions.length === 0 ? '' : `GROUP BY ${dimensions.join(', ')}`;
    const rows = await this.#ask(
      `SELECT ${columns}${TOLD} FROM ${from} ${groups} LIMIT ${ROWS_MAX + 1}`,
      values,
    );
    if (rows.length > ROWS_MAX) throw new TooManyRows(ROWS_MAX);
    return usageRows(dimensions, rows);
  }

  async series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters,
    top: number,
  ): Promise<readonly UsageSeries[]> {
    const values: Values = [];
    const span = { fromMs: starts[0] ?? toMs, toMs };
    const dimensions = dimension === null ? [] : [dimension];
    const from = await this.#sums(dimensions, span, filters, values);
    const steps = placed(values, starts.map(quarterOf), 'integer[]');
    const most = placed(values, Number.isFinite(top) ? top : null, 'bigint');
    const rows = await this.#ask(
      `WITH sums AS (
         SELECT width_bucket(quarter, ${steps}) - 1 AS step, ${dimension ?? "''"} AS value, ${ADDED} FROM ${from} GROUP BY 1, 2),
       own AS (
         SELECT value FROM sums GROUP BY value ORDER BY sum(cost_usd) DESC, sum(facts) DESC, value COLLATE "C" LIMIT ${most})
       SELECT step, own.value, own.value IS NULL AS is_rest, ${TOLD}
       FROM sums LEFT JOIN own ON own.value = sums.value GROUP BY step, own.value`,
      values,
    );
    return usageSeries(rows, starts.length);
  }

  isPlace(value: unknown): value is TablePlace {
    return isTablePlace(value);
  }

  async page(wish: FactWish, from: unknown, limit: number): Promise<PastPage> {
    const { fromMs, toMs, filters, outcome, onlyFinal, idPrefix } = wish;
    const values: Values = [];
    const place = isTablePlace(from) ? from : null;
    const { tenant = null, ...others } = filters;
    const isWhole = WHOLE_ID.test(idPrefix);
    // What an index finds.
    const looked = [
      `time >= ${instant(values, fromMs)} AND time < ${instant(values, toMs)}`,
      ...(place === null ? [] : [`(time, request_id, attempt) < ${tuple(values, place)}`]),
      ...(tenant === null
        ? []
        : [`tenant_id = ANY(${placed(values, tenant.filter(isId), 'numeric[]')})`]),
      ...(isWhole ? [`request_id = ${placed(values, idPrefix, 'text')}`] : []),
    ].join(' AND ');
    // What each has to be looked at for.
    const wanted = [
      ...Object.entries(others).map(
        ([name, of]) => `${DIMENSION_OF[name as Dimension]} = ANY(${placed(values, of, 'text[]')})`,
      ),
      ...(outcome === null ? [] : [`outcome = ${placed(values, outcome, 'text')}`]),
      ...(idPrefix === '' || isWhole
        ? []
        : [`starts_with(request_id, ${placed(values, idPrefix, 'text')})`]),
    ];
    const isBound = wanted.length > 0 && !isWhole;
    const order = 'ORDER BY time DESC, request_id DESC, attempt DESC';
    const where = [
      looked,
      ...wanted,
      ...(onlyFinal ? ['final'] : []),
      ...(isBound
        ? [
            `(time, request_id, attempt) >= (coalesce((SELECT time FROM bound), '-infinity'), coalesce((SELECT request_id FROM bound), ''), coalesce((SELECT attempt FROM bound), 0))`,
          ]
        : []),
    ].join(' AND ');
    const bound = isBound
      ? `SELECT time, request_id, attempt FROM ai_usage WHERE ${looked} ${order} OFFSET ${this.#looks - 1} LIMIT 1`
      : 'SELECT NULL::timestamptz AS time, NULL::text AS request_id, NULL::smallint AS attempt WHERE false';
    const more = placed(values, limit + 1, 'bigint');
    const rows = await this.#ask(
      `WITH bound AS MATERIALIZED (${bound})
       SELECT ${placeOf('f')}, ${FACT} AS fact, row_number() OVER (${order}) AS place FROM (SELECT * FROM ai_usage WHERE ${where} ${order} LIMIT ${more}) AS f
       UNION ALL SELECT ${placeOf('bound')}, NULL, NULL FROM bound`,
      values,
    );
    const found = rows
      .filter(({ place: at }) => at !== null)
      .sort((a, b) => Number(a['place']) - Number(b['place']));
    const facts = found.slice(0, limit).map(({ fact }) => factOfLine(factLineOf(fact as PastRow)));
    const end = found.length > limit ? found[limit - 1] : rows.find(({ place: at }) => at === null);
    if (end === undefined) return { found: facts, next: null, searchedToMs: null };
    const next: TablePlace = {
      atMs: Number(end['at_ms']),
      id: String(end['request_id']),
      attempt: Number(end['attempt']),
    };
    return { found: facts, next, searchedToMs: next.atMs };
  }

  async find(requestId: string): Promise<readonly string[]> {
    // A text that no column can hold is nobody's id.
    if (requestId.includes('\0')) return [];
    const rows = await this.#ask(
      `SELECT ${FACT} AS fact FROM ai_usage AS f WHERE request_id = $1 ORDER BY attempt`,
      [requestId],
    );
    return rows.map(({ fact }) => factLineOf(fact as PastRow));
  }

  /** Sums of quarters within a span, of what agrees with the filters: what stands behind FROM. */
  async #sums(
    dimensions: readonly Dimension[],
    { fromMs, toMs }: Span,
    filters: UsageFilters,
    values: Values,
  ): Promise<string> {
    const named = Object.entries(filters) as readonly (readonly [Dimension, readonly string[]])[];
    const [first, end] = [quarterOf(fromMs), Math.ceil(toMs / QUARTER_MS)];
    const only = named
      .map(([name, of]) => ` AND ${name} = ANY(${placed(values, of, 'text[]')})`)
      .join('');
    if (!this.#hasSums) {
      const [row] = await this.#ask("SELECT to_regclass('ai_usage_sums') IS NOT NULL AS has", []);
      this.#hasSums = row?.['has'] === true;
    }
    if (!this.#hasSums) {
      const [since, until] = [first, end].map((at) => instant(values, at * QUARTER_MS));
      return `(${EACH_FACT} WHERE time >= ${since} AND time < ${until}) AS each WHERE true${only}`;
    }
    const view = maskOf(viewOf([...dimensions, ...named.map(([name]) => name)]));
    const [since, until] = [first, end].map((at) => placed(values, at, 'integer'));
    return `ai_usage_sums WHERE view = ${view} AND quarter >= ${since} AND quarter < ${until}${only}`;
  }

  async #ask(sql: string, values: readonly unknown[]): Promise<readonly PastRow[]> {
    try {
      return (await this.#connected().query(sql, values)).rows;
    } catch (error) {
      const { code = '' } = error as { readonly code?: string };
      // Somebody took a table away: whether there are sums is looked up again.
      if (code === '42P01') this.#hasSums = false;
      throw new PastAway(sentenceOf(code), { cause: error });
    }
  }

  #connected(): Pool {
    if (this.#pool !== null) return this.#pool;
    // Loaded where it is used: who has no Postgres pays nothing for it.
    const pg = require('pg') as Pg;
    const pool = new pg.Pool({
      connectionString: this.#url,
      max: CONNECTIONS_MAX,
      connectionTimeoutMillis: CONNECT_MS,
      idleTimeoutMillis: IDLE_MS,
      query_timeout: ANSWER_MS,
      // Compiling a statement takes longer than these take, and so does sorting rows on a disk to add them up.
      options: `-c statement_timeout=${STATEMENT_MS} -c default_transaction_read_only=on -c jit=off -c work_mem=${WORK_MB}MB`,
      application_name: 'sluice console',
      allowExitOnIdle: true,
    });
    // One that ends while nobody uses it is made anew.
    pool.on('error', () => {});
    this.#pool = pool;
    return pool;
  }
}

/** SQLSTATE, as www.postgresql.org/docs/15/errcodes-appendix.html has it. */
function sentenceOf(code: string): string {
  if (code === '57014')
    return `The fleet's Postgres did not answer this within ${STATEMENT_MS / 1_000} s: ask for a shorter time.`;
  if (code === '42P01' || code === '42703')
    return "The fleet's Postgres has not the table ai_usage as docs/facts.md makes it.";
  if (code === '42501' || code.startsWith('28'))
    return "The fleet's Postgres does not let this gateway read ai_usage.";
  return "The fleet's Postgres, which ledger_url names, does not answer just now.";
}

function placed(values: Values, value: Value, type: string): string {
  values.push(
    typeof value === 'string' ? asked(value) : Array.isArray(value) ? value.map(asked) : value,
  );
  return `$${values.length}::${type}`;
}

/** Texts there have no character of the number 0, so that one with it agrees with none. */
function asked<Asked>(value: Asked): Asked | string {
  return typeof value === 'string' ? value.replaceAll('\0', '\u{fffd}') : value;
}

/** The years that are written alike there and here. */
const FIRST_MS = Date.parse('0001-01-01T00:00:00Z');
const LAST_MS = Date.parse('9999-12-31T00:00:00Z');

function instant(values: Values, ms: number): string {
  const within = Math.min(Math.max(ms, FIRST_MS), LAST_MS);
  return placed(values, new Date(within).toISOString(), 'timestamptz');
}

function tuple(values: Values, { atMs, id, attempt }: TablePlace): string {
  return `(${instant(values, atMs)}, ${placed(values, id, 'text')}, ${placed(values, attempt, 'smallint')})`;
}

function placeOf(row: string): string {
  return `trunc(extract(epoch FROM ${row}.time) * 1000)::text AS at_ms, ${row}.request_id, ${row}.attempt`;
}

function isId(text: string): boolean {
  return /^\d{1,20}$/.test(text);
}

/** A view as GROUPING numbers it: a bit for each dimension that it does not tell apart, the last one's the lowest. */
function maskOf(view: readonly Dimension[]): number {
  return DIMENSIONS.reduce((mask, name) => 2 * mask + (view.includes(name) ? 0 : 1), 0);
}

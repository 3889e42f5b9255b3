import { ClickHousePast } from '../ledger/clickhouse-past.ts';
import type { FactWish } from '../ledger/day-file.ts';
import type { Dimension } from '../ledger/fact-kind.ts';
import { NodePast } from '../ledger/node-past.ts';
import { type Past, PastAway, type PastPage } from '../ledger/past.ts';
import { PostgresPast } from '../ledger/postgres-past.ts';
import { TooManyRows } from '../ledger/too-many-rows.ts';
import type { Span, UsageFilters, UsageRow, UsageSeries } from '../ledger/usage-report.ts';
import type { Log } from '../outlet/log.ts';
import type { GatewayView } from './gateway-view.ts';
import type { Caller } from './operation.ts';
import { placeOf } from './pages.ts';
import { Problem } from './problem.ts';

/** Of whom a caller is told. */
export type Seer = Pick<Caller, 'tenants'>;

/** For what is the whole node's, or is held to a caller's tenants behind it. */
export const ALL_SEEN: Seer = { tenants: null };

/** What a data base that is away may do within, in seconds, before it is asked again. */
const RETRY_S = 5;

/**
 * The past as callers are told it. It is asked of the fleet's data base where `ledger_url` names one, and never of anybody else
 * then; else of this node's files. Every question says who asks, so that nobody is told of tenants that are not theirs.
 */
export class AskedPast {
  readonly #view: GatewayView;
  readonly #log: Log;
  #isAway = false;
  #past: Past | null = null;

  constructor(view: GatewayView, log: Log) {
    this.#view = view;
    this.#log = log;
  }

  /** As `Past` has it. @throws Problem `unavailable`, or `malformed` when these are too many rows */
  async by(
    seer: Seer,
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters = {},
  ): Promise<readonly UsageRow[]> {
    return await this.#ask((past) => past.by(dimensions, span, heldTo(seer, filters)));
  }

  /** As `Past` has it. @throws Problem `unavailable` */
  async series(
    seer: Seer,
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters,
    top: number,
  ): Promise<readonly UsageSeries[]> {
    return await this.#ask((past) =>
      past.series(dimension, starts, toMs, heldTo(seer, filters), top),
    );
  }

  /**
   * As `Past` has it.
   * @param cursor of an earlier page
   * @throws Problem `unavailable`, or `malformed` when the cursor is no page's of this
   */
  async page(
    seer: Seer,
    wish: FactWish,
    cursor: string | undefined,
    limit: number,
  ): Promise<PastPage> {
    const held = { ...wish, filters: heldTo(seer, wish.filters) };
    return await this.#ask((past) => {
      const isPlace = (value: unknown): value is unknown => past.isPlace(value);
      return past.page(held, placeOf(cursor, isPlace), limit);
    });
  }

  /**
   * The facts of a request's attempts.
   * @throws Problem `unavailable`
   */
  async find({ tenants }: Seer, requestId: string): Promise<readonly Fact[]> {
    const lines = await this.#ask((past) => past.find(requestId));
    return lines
      .map((line) => JSON.parse(line) as Fact)
      .filter(
        ({ tenant_id: of }) => tenants === null || (typeof of === 'string' && tenants.has(of)),
      );
  }

  async #ask<Answer>(question: (past: Past) => Promise<Answer>): Promise<Answer> {
    const past = this.#now();
    try {
      const answer = await question(past);
      this.#tell(null);
      return answer;
    } catch (error) {
      if (error instanceof TooManyRows) throw new Problem('malformed', error.message);
      if (!(error instanceof PastAway)) throw error;
      if (error.cause instanceof Error) this.#tell(error.cause.message);
      throw new Problem('unavailable', error.message, { retryAfter: RETRY_S });
    }
  }

  /** One line when it begins to fail, one when it answers again. @param reason null: it has answered */
  #tell(reason: string | null): void {
    const isAway = reason !== null;
    if (isAway === this.#isAway) return;
    this.#isAway = isAway;
    if (isAway) this.#log.write('warn', 'console_past_failed', { reason });
    else this.#log.write('info', 'console_past_recovered');
  }

  #now(): Past {
    const { dataDir, ledger, ledgerUrl } = this.#view.running();
    if (dataDir === null || !ledger)
      throw new Problem('unavailable', 'There is no ledger: set data_dir in the configuration.');
    this.#past ??= pastOf(dataDir, ledgerUrl);
    if (this.#past.exists) return this.#past;
    throw new Problem('unavailable', 'The ledger is not there yet.', { retryAfter: 1 });
  }
}

export interface Fact extends Record<string, unknown> {
  readonly tenant_id?: unknown;
  readonly cost_usd?: unknown;
}

function pastOf(dataDir: string, url: string | null): Past {
  if (url === null) return new NodePast(dataDir);
  return url.startsWith('postgres') ? new PostgresPast(url) : new ClickHousePast(url);
}

/** What was asked for, and never more than the caller may see. */
function heldTo({ tenants }: Seer, filters: UsageFilters): UsageFilters {
  if (tenants === null) return filters;
  const { tenant: wanted = [...tenants] } = filters;
  return { ...filters, tenant: wanted.filter((id) => tenants.has(id)) };
}

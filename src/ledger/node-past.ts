import type { FactWish } from './day-file.ts';
import type { Dimension } from './fact-kind.ts';
import { type FactPlace, FactSearch } from './fact-search.ts';
import type { Past, PastPage } from './past.ts';
import { ROWS_MAX } from './past-rows.ts';
import {
  type Span,
  type UsageFilters,
  UsageReport,
  type UsageRow,
  type UsageSeries,
} from './usage-report.ts';

/** The past of one node, as its ledger's files have it. */
export class NodePast implements Past {
  readonly #report: UsageReport;
  readonly #search: FactSearch;

  /** @param dataDir the configuration's `data_dir` */
  constructor(dataDir: string) {
    this.#report = new UsageReport(dataDir, ROWS_MAX);
    this.#search = new FactSearch(dataDir);
  }

  get exists(): boolean {
    return this.#report.exists;
  }

  async by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters,
  ): Promise<readonly UsageRow[]> {
    return this.#report.by(dimensions, span, filters);
  }

  async series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters,
    top: number,
  ): Promise<readonly UsageSeries[]> {
    return this.#report.series(dimension, starts, toMs, filters, top);
  }

  isPlace(value: unknown): value is FactPlace {
    if (typeof value !== 'object' || value === null) return false;
    const { day, seq } = value as Partial<FactPlace>;
    return Number.isSafeInteger(day) && Number.isSafeInteger(seq) && Number(seq) >= 0;
  }

  async page(wish: FactWish, from: unknown, limit: number): Promise<PastPage> {
    return this.#search.page(wish, this.isPlace(from) ? from : null, limit);
  }

  async find(requestId: string): Promise<readonly string[]> {
    return this.#search.find(requestId);
  }
}

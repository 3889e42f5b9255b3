import type { MetricsLayout } from './metrics.ts';

/** The counters of all workers of a node, added up. */
export class NodeCounts {
  readonly layout: MetricsLayout;
  readonly #slabs: readonly Float64Array[];

  /** @param memory of so many workers */
  constructor(layout: MetricsLayout, memory: SharedArrayBuffer, workers: number) {
    this.layout = layout;
    this.#slabs = Array.from({ length: workers }, (_, worker) => layout.slab(memory, worker));
  }

  sum(cell: number): number {
    let sum = 0;
    for (const slab of this.#slabs) sum += slab[cell] ?? 0;
    return sum;
  }

  /** Counters that stand behind one another, by their names. @param from where the first one stands */
  named<Name extends string>(names: readonly Name[], from: number): Readonly<Record<Name, number>> {
    return Object.fromEntries(names.map((name, at) => [name, this.sum(from + at)])) as Readonly<
      Record<Name, number>
    >;
  }
}

/** One scrape, parsed. */
export class Metrics {
  readonly #samples: ReadonlyMap<string, number>;

  constructor(text: string) {
    const samples = new Map<string, number>();
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const at = line.lastIndexOf(' ');
      samples.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
    this.#samples = samples;
  }

  /** @param sample as the page spells it, labels included; 0 when it is not there */
  get(sample: string): number {
    return this.#samples.get(sample) ?? 0;
  }

  has(name: string): boolean {
    return [...this.#samples.keys()].some((key) => key === name || key.startsWith(`${name}{`));
  }

  /** Sum over all label values. */
  sum(name: string): number {
    let sum = 0;
    for (const [key, value] of this.#samples) {
      if (key === name || key.startsWith(`${name}{`)) sum += value;
    }
    return sum;
  }
}

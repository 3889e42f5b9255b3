/** What stands at the end of an entry that is the beginning of names. */
const ANY_END = '*';

/** Entries that a refusal names: enough to see what was meant. */
const SHOWN_ENTRIES = 8;

/** Which models may be asked for, and be asked: names of routes and `provider/model`. */
export class ModelPermission {
  readonly #names: ReadonlySet<string>;
  readonly #beginnings: readonly string[];
  /** The entries as a caller may read them. */
  readonly shown: string;

  /** @param entries aliases of providers resolved; at least one */
  constructor(entries: readonly string[]) {
    this.#names = new Set(entries.filter((entry) => !entry.endsWith(ANY_END)));
    this.#beginnings = entries
      .filter((entry) => entry.endsWith(ANY_END))
      .map((entry) => entry.slice(0, -ANY_END.length));
    const shown = entries.slice(0, SHOWN_ENTRIES).join(', ');
    this.shown = entries.length > SHOWN_ENTRIES ? `${shown}, …` : shown;
  }

  /** The entries that are whole names. */
  get names(): Iterable<string> {
    return this.#names;
  }

  /** @param name a route, or `provider/model` with the provider's own name */
  allows(name: string): boolean {
    if (this.#names.has(name)) return true;
    for (const beginning of this.#beginnings) if (name.startsWith(beginning)) return true;
    return false;
  }
}

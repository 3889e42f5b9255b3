/** The fields of a call, by name. */

export class CallFields {
  readonly #values = new Map<string, string[]>();

  /** @param fields names and values by turns */
  constructor(fields: readonly string[]) {
    for (let at = 0; at + 1 < fields.length; at += 2) {
      const name = (fields[at] ?? '').toLowerCase();
      const values = this.#values.get(name);
      if (values === undefined) this.#values.set(name, [fields[at + 1] ?? '']);
      else values.push(fields[at + 1] ?? '');
    }
  }

  /** @returns null where it is not there, or there twice: who would decide which one counts? */
  only(name: string): string | null {
    const values = this.#values.get(name);
    return values?.length === 1 ? (values[0] ?? null) : null;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** @returns null where the cookie is not there, or there twice */
  cookie(name: string): string | null {
    const pairs = (this.#values.get('cookie') ?? []).flatMap((line) => line.split(';'));
    const found = pairs.flatMap((pair) => {
      const [key, value] = pair.trim().split('=', 2);
      return key === name && value !== undefined ? [value] : [];
    });
    return found.length === 1 ? (found[0] ?? null) : null;
  }
}

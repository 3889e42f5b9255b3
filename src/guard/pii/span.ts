/** Behind what was found; no finding ends at its text's first unit. */
export const NOT_FOUND = 0;

/** Where something stands that does not begin where it was looked for: one object, filled again and again. */
export class Span {
  from = 0;
  to = 0;

  /** @returns true, so that whoever found something can return with it */
  set(from: number, to: number): true {
    this.from = from;
    this.to = to;
    return true;
  }
}

/** A question whose answer has more rows than `max`; to wait does not help. */
export class TooManyRows extends Error {
  constructor(max: number) {
    super(`These are more than ${max} rows: ask for a shorter time, or for some of them.`);
  }
}

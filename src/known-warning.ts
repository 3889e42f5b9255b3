/**
 * Does what Node calls experimental and a pinned Node does as the tests know it. Exactly that warning is kept from whoever reads
 * stderr.
 * @param beginning of the warning's text
 */
export function withoutWarning<Result>(beginning: string, work: () => Result): Result {
  const { emitWarning } = process;
  process.emitWarning = (...said: readonly unknown[]): void => {
    if (!String(said[0]).startsWith(beginning)) Reflect.apply(emitWarning, process, said);
  };
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}

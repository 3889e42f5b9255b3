/**
 * Lines of cells as a table for a terminal.
 * @param lines as many cells in each as in the first
 * @param isRight whether a column stands at the right, as numbers do
 */
export function tableText(
  lines: readonly (readonly string[])[],
  isRight: (column: number) => boolean,
): string {
  const widths = (lines[0] ?? []).map((_, at) =>
    Math.max(...lines.map((line) => line[at]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, at) =>
          isRight(at) ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * Where code points begin, in UTF-16 units: servers in Python count the former. A lone surrogate counts as one, as it does
 * there.
 * @param points ascending
 * @returns for each its offset; null for one beyond the text's end
 */
export function unitOffsets(text: string, points: readonly number[]): readonly (number | null)[] {
  const offsets: (number | null)[] = [];
  let unit = 0;
  let point = 0;
  for (const wanted of points) {
    while (point < wanted && unit < text.length) {
      unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
      point++;
    }
    offsets.push(point === wanted ? unit : null);
  }
  return offsets;
}

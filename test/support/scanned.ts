import type { Detector, Finding, RunKind } from '../../src/guard/guard.ts';

/** What a detector found of a text that came in pieces, and how much of it was ever held back. */
export interface Scanned {
  readonly findings: readonly Finding[];
  /** The most that was held back behind a piece: UTF-16 units. */
  readonly held: number;
}

/**
 * Has a text scanned as it comes: what a scan does not settle is given again in front of the next piece.
 * @param cuts places where the text is cut, in any order; those beyond its end do nothing
 */
export function scanned(
  detector: Detector,
  text: string,
  cuts: readonly number[] = [],
  kind: RunKind = 'text',
): Scanned {
  const findings: Finding[] = [];
  let from = 0;
  let held = 0;
  const ends = [...new Set(cuts)].filter((at) => at > 0 && at < text.length).sort((a, b) => a - b);
  for (const end of [...ends, text.length]) {
    const isEnd = end === text.length;
    const { findings: found, settledTo } = detector.scan(text.slice(from, end), kind, isEnd);
    for (const { from: at, to, what } of found) {
      if (to > settledTo || at >= to) throw new Error(`${what} at ${at} to ${to} is not settled`);
      findings.push({ from: from + at, to: from + to, what });
    }
    from += settledTo;
    held = Math.max(held, end - from);
  }
  return { findings, held };
}

/** @returns what was found as `what:text`, in order */
export function told(text: string, { findings }: Scanned): readonly string[] {
  return findings.map(({ from, to, what }) => `${what}:${text.slice(from, to)}`);
}

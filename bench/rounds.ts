import { commandLine, positive } from './command-line.ts';

const USAGE =
  'npm run bench -- [--quick] [--against REF], with --against and for its parts: [--rounds N] [--seconds N]';

/** What every bench can be told on its command line. */
const ASKED = commandLine(USAGE, {
  /** A look that says little. */
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  /** A git ref to compare with; of `bench/main.ts` alone. */
  against: { type: 'string' },
});

export const QUICK = ASKED.quick;
export const AGAINST = ASKED.against;

/** How much is measured. */
export interface Extent {
  readonly rounds: number;
  /** Of one measurement. */
  readonly seconds: number;
}

/** @param quick what `--quick` does instead of `full`; `--rounds` and `--seconds` override either */
export function extent(full: Extent, quick: Extent): Extent & { readonly quick: boolean } {
  const { rounds, seconds } = QUICK ? quick : full;
  return {
    quick: QUICK,
    rounds: positive('--rounds', ASKED.rounds ?? String(rounds), USAGE),
    seconds: positive('--seconds', ASKED.seconds ?? String(seconds), USAGE),
  };
}

/**
 * Measures everybody once in each round, every second round in the opposite order: what the machine does meanwhile, and
 * who comes behind whom, is shared fairly.
 *
 * @returns samples of each, in the order of the rounds
 */
export async function interleaved<Subject, Sample>(
  rounds: number,
  subjects: readonly Subject[],
  measure: (subject: Subject) => Promise<Sample>,
): Promise<ReadonlyMap<Subject, readonly Sample[]>> {
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? subjects : subjects.toReversed();
    for (const subject of order) samples.get(subject)?.push(await measure(subject));
  }
  return samples;
}

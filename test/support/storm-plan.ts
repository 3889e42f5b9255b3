import { seededRandom } from './fixtures.ts';
import { KnownBytes } from './known-bytes.ts';

/** How an exchange of the storm ends. The client's and the upstream's end share it through the seed. */
type Fate =
  | 'whole'
  | 'answered-early'
  | 'client-leaves-uploading'
  | 'client-leaves-waiting'
  | 'client-leaves-reading'
  | 'upstream-resets-first'
  | 'upstream-cuts';

type Form = 'sized' | 'chunked';

/** One exchange of the storm, the same for everybody who knows its seed. */
export interface Plan {
  readonly seed: number;
  readonly fate: Fate;
  readonly up: KnownBytes;
  readonly upForm: Form;
  readonly down: KnownBytes;
  readonly downForm: Form;
  /** Share of the body after which somebody leaves, from 0 to 1. */
  readonly leaveAt: number;
  /** A client that stops reading now and then. */
  readonly slowReader: boolean;
  /** An upstream that stops reading or writing now and then. */
  readonly slowUpstream: boolean;
}

const MIB = 1_048_576;
const LARGEST_BYTES = 64 * MIB;

/** Most bodies are small, a few are as large as it gets: the mean is what the machine can move 2,000 times. */
function size(random: () => number): number {
  const choice = random();
  if (choice < 0.08) return 0;
  if (choice > 0.995) return LARGEST_BYTES;
  const limit = choice < 0.7 ? MIB : choice < 0.96 ? 8 * MIB : LARGEST_BYTES;
  return Math.floor(limit ** random());
}

function fate(random: () => number): Fate {
  const choice = random();
  if (choice < 0.62) return 'whole';
  if (choice < 0.68) return 'answered-early';
  if (choice < 0.75) return 'client-leaves-uploading';
  if (choice < 0.81) return 'client-leaves-waiting';
  if (choice < 0.88) return 'client-leaves-reading';
  return choice < 0.93 ? 'upstream-resets-first' : 'upstream-cuts';
}

const form = (random: () => number): Form => (random() < 0.5 ? 'sized' : 'chunked');

export function planOf(seed: number): Plan {
  const random = seededRandom(seed);
  return {
    seed,
    fate: fate(random),
    up: new KnownBytes(size(random), seed),
    upForm: form(random),
    down: new KnownBytes(size(random), seed + 1),
    downForm: form(random),
    leaveAt: random(),
    slowReader: random() < 0.2,
    slowUpstream: random() < 0.2,
  };
}

/** For a message: what went wrong has to be reproducible. */
export function described({ seed, fate, up, upForm, down, downForm }: Plan): string {
  return `seed ${seed} (${fate}, ${upForm} ${up.length} up, ${downForm} ${down.length} down)`;
}

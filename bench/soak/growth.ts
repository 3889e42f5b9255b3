import type { Sample } from './sample.ts';
import { median, slope } from './trend.ts';

/**
 * Warm-up, as a share of the run and in seconds at most: caches fill, code is compiled, heaps find their size. Measured
 * here: resident memory moves by 8 MiB either way in the first four minutes, and by 0.5 MiB a minute from the fifth on.
 */
const WARM_UP = 1 / 3;
const WARM_UP_MAX_S = 300;
/** A run must be watched for so long behind its warm-up, or nothing can be said of growth. */
const WATCHED_MIN_S = 180;
const WATCHED_MIN_SAMPLES = 12;
/**
 * Resident memory may rise by so much from the warm-up's end to the end, going by its slope. It was seen to step up by
 * 15 MiB while no heap moved, most likely what a burst of large bodies left with the allocator. At 60 requests a second,
 * half an hour is 100,000 requests: 24 MiB are then 250 bytes of each, less than the smallest object graph that an
 * exchange could leave behind.
 */
const RSS_RISE_MAX_MIB = 24;
/**
 * CPU time of a request may rise by this share: other work on the machine moves it by a fifth, and a list that grows by
 * an element a request and is searched for each would double it many times over.
 */
const CPU_RISE_MAX = 0.5;

export interface Growth {
  /** The first second that counts. */
  readonly fromSeconds: number;
  /** Why growth was not judged, or null when it was. */
  readonly unjudged: string | null;
  readonly rssRiseMiB: number;
  readonly cpuRise: number;
  readonly faults: readonly string[];
}

/** What grew behind the warm-up, by robust slopes over all samples. */
export function growthOf(samples: readonly Sample[]): Growth {
  const endSeconds = samples.at(-1)?.seconds ?? 0;
  const fromSeconds = Math.min(WARM_UP_MAX_S, endSeconds * WARM_UP);
  const watched = samples.filter(({ seconds }) => seconds >= fromSeconds);
  const span = endSeconds - fromSeconds;
  const rise = (of: (sample: Sample) => number): number =>
    slope(watched.map((sample) => ({ x: sample.seconds, y: of(sample) }))) * span;
  const rssRiseMiB = rise(({ rssMiB }) => rssMiB);
  const early = watched.slice(0, Math.ceil(watched.length / 3));
  const cpu = median(early.map(({ cpuUsPerRequest }) => cpuUsPerRequest));
  const cpuRise = rise(({ cpuUsPerRequest }) => cpuUsPerRequest) / cpu;
  const known = { fromSeconds, rssRiseMiB, cpuRise };
  if (span < WATCHED_MIN_S || watched.length < WATCHED_MIN_SAMPLES) {
    const unjudged = `${Math.round(span)} s behind the warm-up are too few: it takes ${WATCHED_MIN_S} s and ${WATCHED_MIN_SAMPLES} samples`;
    return { ...known, unjudged, faults: [] };
  }
  const faults: string[] = [];
  if (rssRiseMiB > RSS_RISE_MAX_MIB) {
    faults.push(
      `resident memory grew by ${rssRiseMiB.toFixed(1)} MiB behind the warm-up; ${RSS_RISE_MAX_MIB} MiB are tolerated`,
    );
  }
  if (cpuRise > CPU_RISE_MAX) {
    faults.push(
      `CPU time of a request grew by ${(cpuRise * 100).toFixed(0)} % behind the warm-up; ${CPU_RISE_MAX * 100} % are tolerated`,
    );
  }
  return { ...known, unjudged: null, faults };
}

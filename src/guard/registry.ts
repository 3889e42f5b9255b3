import type { Detector, Guard, Judge, Listener } from './guard.ts';
import type { GuardConfig } from './guard-config.ts';
import type { GuardSet } from './guard-session.ts';
import { PiiDetector } from './pii/pii-detector.ts';
import { PlaceholderMap } from './placeholder-map.ts';

/** One of the three. */
interface Part {
  readonly detector?: Detector;
  readonly judge?: Judge;
  readonly listener?: Listener;
}

/**
 * The guards of a worker, made once of one configuration.
 * @returns the set of a list of names, in its order; the same list has the same set. Null: none is named
 */
export function openGuards(
  configs: ReadonlyMap<string, GuardConfig>,
): (names: readonly string[]) => GuardSet | null {
  const guards = new Map([...configs].map(([name, config]) => [name, made(config)]));
  const sets = new Map<string, GuardSet>();
  return (names) => {
    const key = names.join(' ');
    const known = sets.get(key);
    if (known !== undefined) return known;
    const named = names.flatMap((name) => {
      const guard = guards.get(name);
      return guard === undefined ? [] : [guard];
    });
    if (named.length === 0) return null;
    const set: GuardSet = { guards: named, placeholders: () => new PlaceholderMap() };
    sets.set(key, set);
    return set;
  };
}

function made({ made, ...settings }: GuardConfig): Guard {
  return { ...settings, detector: null, judge: null, listener: null, ...partOf(made) };
}

function partOf(made: GuardConfig['made']): Part {
  switch (made.kind) {
    case 'pii':
      return { detector: new PiiDetector(made.detect) };
  }
}

import type { Detector, Guard, Judge, Listener } from './guard.ts';
import type { GuardConfig } from './guard-config.ts';
import type { GuardSet } from './guard-session.ts';
import { InjectionDetector } from './injection/injection-detector.ts';
import { AnalyzerJudge } from './judges/analyzer-judge.ts';
import { ModerationJudge } from './judges/moderation-judge.ts';
import { ModuleJudge } from './judges/module-judge.ts';
import { LogListener } from './logger/log-listener.ts';
import { PiiDetector } from './pii/pii-detector.ts';
import { PlaceholderMap } from './placeholder-map.ts';
import type { WorkerGuards } from './worker-guards.ts';

/** One of the three. */
interface Part {
  readonly detector?: Detector;
  readonly judge?: Judge;
  readonly listener?: Listener;
}

/**
 * The guards of a worker, made once of one configuration.
 * @param worker what they share with those of the next one
 * @returns the set of a list of names, in its order; the same list has the same set. Null: none is named
 */
export function openGuards(
  configs: ReadonlyMap<string, GuardConfig>,
  worker: WorkerGuards,
): (names: readonly string[]) => GuardSet | null {
  const guards = new Map([...configs].map(([name, config]) => [name, made(config, worker)]));
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

function made(config: GuardConfig, worker: WorkerGuards): Guard {
  const { made: _, ...settings } = config;
  return { ...settings, detector: null, judge: null, listener: null, ...partOf(config, worker) };
}

function partOf({ name, action, made }: GuardConfig, worker: WorkerGuards): Part {
  switch (made.kind) {
    case 'pii':
      return { detector: new PiiDetector(made.detect) };
    case 'injection':
      return { detector: new InjectionDetector(made.threshold) };
    case 'module':
      return { judge: new ModuleJudge(name, made.budgetMs, worker.questions, worker.tally) };
    case 'presidio':
      return {
        judge: new AnalyzerJudge(
          { ...made, name, action: action === 'mask' ? 'redact' : action },
          worker.deadlines,
          worker.tally,
        ),
      };
    case 'moderation':
      return {
        judge: new ModerationJudge(
          { ...made, name, action: action === 'flag' ? action : 'block' },
          worker.deadlines,
          worker.tally,
        ),
      };
    case 'logger':
      return { listener: new LogListener(name, worker.room, worker.open, worker.record) };
  }
}

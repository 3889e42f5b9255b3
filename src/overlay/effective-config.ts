/**
 * The effective configuration: the file with what was made at run time laid over it.
 *
 * Decision: the file is good as a whole or nothing changes, but an entry is judged by itself: a fleet's overlay is written by
 * many, and one bad entry must not keep the next good one, or a change of the file, from being taken.
 */

import {
  ConfigError,
  type ConfigProblem,
  type ConfigSource,
  type LoadedConfig,
  loadConfig,
} from '../config/config.ts';
import { problemLine } from '../config/config-problem.ts';
import { type OverlayEntry, placeOf } from './overlay-entry.ts';

export interface EffectiveConfig {
  readonly loaded: LoadedConfig;
  /** What of the overlay counts: of an entry that was refused, what counted before. */
  readonly accepted: readonly OverlayEntry[];
  /** What was refused, and why; locked entries included. */
  readonly refused: readonly ConfigProblem[];
}

/** Tables of which no other entry speaks: of theirs, what is not to blame counts although a member is. */
const BY_MEMBER: ReadonlySet<string> = new Set(['keys', 'tenants']);

/** Each is a reading of the file; behind them everything new waits. */
const ROUNDS_MAX = 64;

/**
 * @param wanted what the store holds
 * @param accepted what of it counted before; empty at a start
 * @throws ConfigError where the file by itself, or with what has counted before, is not valid
 */
export function loadEffective(
  source: ConfigSource,
  wanted: readonly OverlayEntry[],
  accepted: readonly OverlayEntry[],
): EffectiveConfig {
  const before = new Map(accepted.map((entry) => [placeOf(entry), entry]));
  const trial = new Map(wanted.map((entry) => [placeOf(entry), entry]));
  const refused: ConfigProblem[] = [];
  // Each round takes an entry back, or a member out of one.
  for (let round = 0; ; round++) {
    try {
      return effective(source, [...trial.values()], refused);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const blamed = error.problems.filter(({ at }) => {
        const place = placeAt(at);
        return trial.has(place) && trial.get(place) !== before.get(place);
      });
      if (blamed.length > 0) {
        refused.push(...blamed);
        takeBack(trial, before, blamed);
        continue;
      }
      // By what is new, something that was good has become wrong.
      const doubted = round < ROUNDS_MAX ? lastShared(trial, before) : null;
      if (doubted === null) break;
      const said = error.problems.map(problemLine).join('; ');
      const expected = `an entry with which everything else stays valid (${said})`;
      refused.push({ file: 'overlay', key: doubted, found: 'what contradicts it', expected });
      const known = before.get(doubted);
      trial.delete(doubted);
      if (known !== undefined) trial.set(doubted, known);
    }
  }
  return effective(source, accepted, refused);
}

/** The place of the last change to what other entries speak of; null: there is none left. */
function lastShared(
  trial: ReadonlyMap<string, OverlayEntry>,
  before: ReadonlyMap<string, OverlayEntry>,
): string | null {
  const isShared = ({ table }: OverlayEntry) => !BY_MEMBER.has(table);
  for (const [place, entry] of before) if (isShared(entry) && !trial.has(place)) return place;
  const changed = [...trial.values()].filter(
    (entry) => isShared(entry) && before.get(placeOf(entry)) !== entry,
  );
  const last = changed.toSorted((left, right) => left.revision - right.revision).at(-1);
  return last === undefined ? null : placeOf(last);
}

function effective(
  source: ConfigSource,
  overlay: readonly OverlayEntry[],
  refused: readonly ConfigProblem[],
): EffectiveConfig {
  const loaded = loadConfig({ ...source, overlay });
  return { loaded, accepted: overlay, refused: [...refused, ...loaded.overlay.passedOver] };
}

function takeBack(
  trial: Map<string, OverlayEntry>,
  before: ReadonlyMap<string, OverlayEntry>,
  blamed: readonly ConfigProblem[],
): void {
  for (const [place, problems] of Map.groupBy(blamed, ({ at }) => placeAt(at))) {
    const entry = trial.get(place);
    const known = before.get(place);
    trial.delete(place);
    if (known !== undefined) trial.set(place, known);
    else if (entry !== undefined && BY_MEMBER.has(entry.table)) {
      // An end that was set to a key counts, even where its policy is gone.
      const members = new Set(problems.map(({ at }) => at?.[2]));
      const left = Object.entries(entry.value).filter(([member]) => !members.has(member));
      const isLess = left.length < Object.keys(entry.value).length;
      if (isLess && left.length > 0)
        trial.set(place, { ...entry, value: Object.fromEntries(left) });
    }
  }
}

function placeAt(at: readonly string[] | undefined): string {
  return at === undefined ? '' : `${at[0]}.${at[1]}`;
}

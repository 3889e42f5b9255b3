import { type ConfigSource, type LaidOverlay, loadConfig } from '../config/config.ts';
import { denySource } from '../deny/deny-source.ts';
import type { MadeBy } from '../policy/effective-policies.ts';
import { type EffectiveConfig, loadEffective } from './effective-config.ts';
import { openOverlayStore } from './open-store.ts';
import type { OverlayEntry } from './overlay-entry.ts';
import { isExpired } from './overlay-entry.ts';

/** The effective configuration as a command sees it. */
export interface KnownConfig extends EffectiveConfig {
  /** All that stands in the store. */
  readonly entries: readonly OverlayEntry[];
  /** Where they came from; null: the configuration names no place. */
  readonly place: string | null;
  /** Why they could not be read; null: they were. */
  readonly failure: string | null;
}

/**
 * Reads the file, and what was made at run time where the file says that it is.
 * @throws ConfigError where the file is not valid
 */
export async function knownConfig(source: ConfigSource): Promise<KnownConfig> {
  const written = loadConfig(source);
  const alone = { loaded: written, accepted: [], refused: [], entries: [] };
  const { config } = written;
  if (denySource(config) === null && config.dataDir === null)
    return { ...alone, place: null, failure: null };
  try {
    const store = await openOverlayStore(config, false);
    const entries = await store.list().finally(() => store.close());
    const nowMs = Date.now();
    const counting = entries.filter((entry) => !isExpired(entry, nowMs));
    const known = loadEffective(source, counting, []);
    return { ...known, entries, place: store.place, failure: null };
  } catch (error) {
    if (error instanceof Error && error.name === 'ConfigError') throw error;
    const failure = error instanceof Error ? error.message : 'unknown';
    return { ...alone, place: null, failure };
  }
}

/** Who made at run time what counts, told behind a place of the configuration. */
export function madeByOf(counting: LaidOverlay['counting']): MadeBy {
  return (place, member) => {
    const entry = counting.get(place);
    if (entry === undefined || !Object.hasOwn(entry.value, member)) return '';
    return ` (overlay, ${entry.author}, ${new Date(entry.atMs).toISOString().slice(0, 19)}Z)`;
  };
}

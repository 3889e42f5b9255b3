import type { Config } from '../config/config-document.ts';
import { denySource } from '../deny/deny-source.ts';
import { OverlayFile } from './overlay-file.ts';
import type { OverlayStore } from './overlay-store.ts';

/**
 * The store that a configuration names. NATS wins: the nodes of a fleet have one overlay.
 * @param write makes what is not there yet
 * @throws Error with one line that says what to do: where there is none, and where it cannot be reached
 */
export async function openOverlayStore(config: Config, write: boolean): Promise<OverlayStore> {
  const source = denySource(config);
  if (source !== null) {
    const { OverlayBucket } = await import('./overlay-bucket.ts');
    return await OverlayBucket.connect(source, write);
  }
  if (config.dataDir !== null) return new OverlayFile(config.dataDir);
  throw new Error(
    'There is no place for it: set data_dir (one gateway) or nats_url (a fleet) in the configuration.',
  );
}

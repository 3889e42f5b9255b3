import type { Config } from '../config/config-document.ts';

/** Where the deny-set comes from. */
export interface DenySource {
  readonly urls: readonly string[];
  /** Read again at each connect, so that credentials may be replaced. */
  readonly credsFile: string | null;
  readonly bucket: string;
  /** PEM file with further certificate authorities (`ca_file`), or null. */
  readonly caFile: string | null;
}

/** Where a configuration has its deny-set; null without `nats_url`. */
export function denySource(config: Config): DenySource | null {
  const { natsUrl, natsCredsFile, configBucket, caFile } = config;
  if (natsUrl === null) return null;
  return { urls: natsUrl.split(','), credsFile: natsCredsFile, bucket: configBucket, caFile };
}

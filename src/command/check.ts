import type { Config } from '../config/config-document.ts';
import { printConfig } from '../config/config-print.ts';
import { effectivePolicies } from '../policy/effective-policies.ts';
import { providerTable } from '../providers/providers.ts';

/**
 * `sluice check --effective`: what holds for whom, and what says so.
 * @returns the exit code
 */
export function checkEffective({ config }: { readonly config: Config }): number {
  process.stdout.write(`${effectivePolicies(config.policy).join('\n')}\n`);
  return 0;
}

/**
 * `sluice check`: the configuration was valid when this is called; shows what it amounts to.
 * @returns the exit code
 */
export function check({
  config,
  source,
}: {
  readonly config: Config;
  readonly source: string | null;
}): number {
  const providers = providerTable(config.providers).map(
    ({ name, authority: { host, port, tls }, dialect, authScheme, keyless, streamUsage }) => {
      const origin = `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
      const key = keyless && authScheme !== 'none' ? `${authScheme} or none` : authScheme;
      return `#   ${name.padEnd(12)} ${origin}  ${dialect}, ${key}, stream usage ${streamUsage === 'ask' ? 'is asked for' : 'is sent'}`;
    },
  );
  const from = source === null ? 'no file: defaults and environment' : source;
  process.stdout.write(
    `# ${from}: valid\n# providers:\n${providers.join('\n')}\n\n${printConfig(config)}`,
  );
  return 0;
}

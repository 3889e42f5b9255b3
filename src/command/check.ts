import type { ConfigSource, LoadedConfig } from '../config/config.ts';
import { printConfig } from '../config/config-print.ts';
import { problemLine } from '../config/config-problem.ts';
import { knownConfig, madeByOf } from '../overlay/known-overlay.ts';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import { effectivePolicies } from '../policy/effective-policies.ts';
import { providerTable } from '../providers/providers.ts';

/**
 * `sluice check --effective`: what holds for whom, and what says so, with what was made at run time.
 * @returns the exit code
 */
export async function checkEffective(source: ConfigSource): Promise<number> {
  const { loaded, refused, place, failure } = await knownConfig(source);
  const { counting } = loaded.overlay;
  const overlay = [
    ...(place === null ? [] : [`# overlay: ${counting.size} entries of ${place}`]),
    ...(failure === null ? [] : [`# overlay: not read, so this is the file alone. ${failure}`]),
    ...refused.map((problem) => `# refused: ${problemLine(problem)}`),
  ];
  const others = [...counting.values()]
    .filter(({ table }) => table === 'routes' || table === 'prices')
    .map((entry) => `  [${entry.table}.${JSON.stringify(entry.name)}]   # ${membersOf(entry)}`);
  const lines = [
    ...overlay,
    ...(overlay.length > 0 ? [''] : []),
    ...effectivePolicies(loaded.config.policy, madeByOf(counting)),
    ...(others.length > 0 ? ['routes and prices of the overlay', ...others, ''] : []),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return failure === null ? 0 : 1;
}

/** What of a route or a price was made at run time, and by whom. */
function membersOf({ value, author, atMs }: OverlayEntry): string {
  const members = Object.keys(value).join(', ');
  return `${members}: overlay, ${author}, ${secondOf(atMs)}`;
}

function secondOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/**
 * `sluice check`: the configuration was valid when this is called; shows what it amounts to.
 * @returns the exit code
 */
export function check({ config, source, overlay }: LoadedConfig): number {
  const providers = providerTable(config.providers).map(
    ({ name, authority: { host, port, tls }, dialect, authScheme, keyless, streamUsage }) => {
      const origin = `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
      const key = keyless && authScheme !== 'none' ? `${authScheme} or none` : authScheme;
      return `#   ${name.padEnd(12)} ${origin}  ${dialect}, ${key}, stream usage ${streamUsage === 'ask' ? 'is asked for' : 'is sent'}`;
    },
  );
  const from = source === null ? 'no file: defaults and environment' : source;
  process.stdout.write(
    `# ${from}: valid\n# providers:\n${providers.join('\n')}\n\n${printConfig(config, overlay.locked)}`,
  );
  return 0;
}

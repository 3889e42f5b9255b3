import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { authorities, ROOT } from '../../test/support/gateway.ts';
import { poolKeys, signingKeys } from '../../test/support/managed.ts';
import { FOLDER, Running } from './processes.ts';

interface SluiceOptions {
  /** Another checkout of this project. */
  readonly root?: string;
  readonly workers?: number;
  /** Keys of the configuration in front of its tables. */
  readonly settings?: string;
  /** Tables behind all others. */
  readonly tables?: string;
  /** Names of providers, all of them at the same upstream. */
  readonly providers?: readonly string[];
}

/** So high that nobody reaches it, and not 0: what the guardrail costs is a part of what is measured. */
const RATE_RPS = 1_000_000;
const RATES = ['rate_limit_rps', 'byo_rate_limit_rps', 'verify_rate_limit_rps']
  .map((key) => `${key} = ${RATE_RPS}\n`)
  .join('');

/** Its facts go into a file: who reads them is not what is measured, and would take a core of this machine. */
export function startSluice(
  port: number,
  upstream: number,
  {
    root = ROOT,
    workers = 1,
    settings = '',
    tables = '',
    providers = ['openai'],
  }: SluiceOptions = {},
): Promise<Running> {
  const file = join(FOLDER, `sluice-${port}.toml`);
  writeFileSync(
    file,
    `listen = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:0"\nworkers = ${workers}\n${RATES}${settings}` +
      authorities(Object.fromEntries(providers.map((name) => [name, upstream]))) +
      poolKeys(Object.fromEntries(providers.map((name) => [name, 'sk-pool']))) +
      signingKeys() +
      tables,
  );
  const args = [join(root, 'src/main.ts'), 'serve', '--config', file];
  const options = { log: `sluice-${port}.log`, cwd: root };
  // Not `listening()`: the main thread holds the port for a moment before the workers do.
  return new Running(process.execPath, args, options).says('"event":"listening"');
}

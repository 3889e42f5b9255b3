import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../test/support/gateway.ts';
import { Running } from './processes.ts';

export const PORTKEY_VERSION = '1.15.2';

/**
 * Installed when it is first measured, not with the project: it would put 95 packages beside the 30 that everybody who
 * only runs the tests needs, and a script that runs after the installation.
 */
const FOLDER = join(ROOT, 'node_modules/.cache/bench-peers');
const ENTRY = join(FOLDER, 'node_modules/@portkey-ai/gateway/build/start-server.js');

const MANIFEST = {
  private: true,
  dependencies: { '@portkey-ai/gateway': PORTKEY_VERSION },
  // What its own lock file has. It asks for any 1.x, and with 1.14 and later every streamed answer is a 500 (measured).
  overrides: { '@hono/node-server': '1.13.5' },
};

/** @returns whether Portkey's gateway can be started here; installs it at the first call */
export function portkeyIsThere(): boolean {
  if (existsSync(ENTRY)) return true;
  process.stderr.write(`installing Portkey's gateway ${PORTKEY_VERSION} into ${FOLDER}\n`);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'package.json'), JSON.stringify(MANIFEST));
  const args = ['install', '--prefix', FOLDER, '--ignore-scripts', '--no-audit', '--no-fund'];
  spawnSync('npm', args, { stdio: 'ignore' });
  return existsSync(ENTRY);
}

export function startPortkey(port: number): Promise<Running> {
  const args = [ENTRY, `--port=${port}`, '--headless'];
  const env = { NODE_ENV: 'production' };
  return new Running(process.execPath, args, { env, log: `portkey-${port}.log` }).listening(port);
}

/** It is told with each request where to go; loopback is among the hosts that it trusts. */
export function portkeyFields(upstream: number): string {
  return `x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:${upstream}/v1\r\n`;
}

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE_NAME = 'node-name';
const NAME = /^[0-9a-f]{16}$/;

/**
 * This node's name among those of its fleet. Where it remembers what it spent it is the same one in each of its lives: what it
 * was granted before is still its own. Without a folder each life is another node, and what the last one was granted and did not
 * spend is lost to the fleet until the window ends.
 * @param folder `data_dir`; null: nothing outlives the process
 * @throws Error with the system's code, when the folder takes no name
 */
export function nodeName(folder: string | null): string {
  const fresh = randomBytes(8).toString('hex');
  if (folder === null) return fresh;
  const path = join(folder, FILE_NAME);
  mkdirSync(folder, { recursive: true });
  try {
    const kept = readFileSync(path, 'utf8').trim();
    if (NAME.test(kept)) return kept;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  writeFileSync(path, `${fresh}\n`, { mode: 0o600 });
  return fresh;
}

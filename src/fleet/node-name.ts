import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE_NAME = 'node-name';
const NAME = /^[0-9a-f]{16}$/;

/**
 * This node's name among those of its fleet. Where it remembers what it spent it is the same one in each of its lives: what it
 * was granted before is still its own. Without a folder each life is another node, and what the last one was granted and did not
 * spend is lost to the fleet until the window ends.
 * @param folder `data_dir`; null: nothing outlives the process
 * @returns a new one, too, where the folder takes none: whoever keeps what was spent there says what is wrong with it
 */
export function nodeName(folder: string | null): string {
  const fresh = randomBytes(8).toString('hex');
  if (folder === null) return fresh;
  const path = join(folder, FILE_NAME);
  const kept = keptName(path);
  if (kept !== null) return kept;
  try {
    writeFileSync(path, `${fresh}\n`, { mode: 0o600 });
  } catch {
    // Nothing is remembered there, and so this life is another node.
  }
  return fresh;
}

function keptName(path: string): string | null {
  try {
    const kept = readFileSync(path, 'utf8').trim();
    return NAME.test(kept) ? kept : null;
  } catch {
    return null;
  }
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../../../shared/fixtures/requests');

/** A recorded request body. */
interface RequestFixture {
  /** `openai/chat-….json` */
  readonly name: string;
  readonly bytes: Buffer;
}

/** Every recorded request body that is JSON; none when the folder is absent. */
export function requestFixtures(): readonly RequestFixture[] {
  if (!existsSync(FOLDER)) return [];
  return readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(FOLDER, name)) }));
}

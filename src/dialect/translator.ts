import { createRequire } from 'node:module';
import type * as Translation from './translate.ts';

const load = createRequire(import.meta.url);
let room: typeof Translation | null = null;

/**
 * The room's door, opened when it is first asked for: reading its files takes 150 ms of a core and 1 MB, which a gateway that
 * translates nothing does not pay. In one go, since who asks has a request in hand; a worker that may have to translate
 * asks when it has begun to listen.
 */
export function translator(): typeof Translation {
  room ??= load('./translate.ts') as typeof Translation;
  return room;
}

import { createRequire } from 'node:module';

type Undici = typeof import('undici');

let undici: Undici | null = null;

/**
 * The library, loaded by the first transport that needs it: some 60 ms and 8 MB that a worker without one never pays.
 * In the turn of the caller: a plane is whole when it is made.
 */
export function loadUndici(): Undici {
  undici ??= createRequire(import.meta.url)('undici') as Undici;
  return undici;
}

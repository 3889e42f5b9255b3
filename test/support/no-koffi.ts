/** Preloaded into a gateway (`--import`): koffi is not there, in any thread, as after an installation for another platform. */

import Module from 'node:module';

type Load = (this: unknown, request: string, ...rest: unknown[]) => unknown;

const loader = Module as unknown as { _load: Load };
const load = loader._load;
loader._load = function (request, ...rest) {
  if (request === 'koffi') throw new Error('Cannot find the native Koffi module');
  return load.call(this, request, ...rest);
};

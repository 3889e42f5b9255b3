/** Entry of the process that runs an operator's module: the rest of its code comes as JavaScript, where that is kept. */

import { takeStripped } from '../../stripped.ts';

takeStripped();
await import('./module-service.ts');

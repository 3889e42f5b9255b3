/** What the console's thread loads first: the rest of its code comes as JavaScript, where that is kept. */

import { takeStripped } from '../stripped.ts';

takeStripped();
await import('./console-thread.ts');

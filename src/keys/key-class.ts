/** What kind of holder a virtual key has: which policy it gets, and nothing else. */
export type KeyClass = 'developer' | 'application' | 'agent';

/** As they stand in a `bai_v3` payload: the first one is 1. */
export const KEY_CLASSES: readonly KeyClass[] = ['developer', 'application', 'agent'];

/** Of keys that say nothing: `bai_v1` and `bai_v2`. */
export const DEFAULT_CLASS: KeyClass = 'application';

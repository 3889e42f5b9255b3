/** What a sentence was taken for: the strongest of what was found in it. */
export const INJECTION_KINDS = [
  'override',
  'extraction',
  'role',
  'secrecy',
  'frame',
  'address',
  'hidden',
] as const;
export type InjectionKind = (typeof INJECTION_KINDS)[number];

/** How sure it must be that a sentence is one, when nobody says it. */
export const USUAL_THRESHOLD = 0.6;

import { type Place, spelled } from './named-texts.ts';

/** A place as it is written down: a name it tells, or its members; `''` tells a text beside members, `*` is every other one. */
export type Written = string | { readonly [name: string]: Written };

export function place(written: Written): Place {
  if (typeof written === 'string')
    return { tells: written, members: new Map(), others: null, spelled: [] };
  const { '': tells, '*': others, ...members } = written;
  return {
    tells: typeof tells === 'string' ? tells : null,
    members: new Map(Object.entries(members).map(([name, inner]) => [name, place(inner)])),
    others: others === undefined ? null : place(others),
    spelled: spelled(Object.keys(members)),
  };
}

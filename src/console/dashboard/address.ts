/**
 * What a view shows stands in the part of the address behind `#`, so that a view can be sent to somebody and the browser's
 * way back works. It never reaches a server's log.
 */

export interface Address {
  /** `requests`, or `requests/req_1` cut at its slashes, each part decoded. */
  readonly path: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

/** @param hash with its `#`, as `location.hash` has it */
export function addressOf(hash: string): Address {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return {
    path: path
      .split('/')
      .filter((part) => part !== '')
      .map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param query members that are '' or undefined are left out */
export function hrefOf(
  path: readonly string[],
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') said.set(name, value);
  }
  const text = said.toString();
  return `#/${path.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** The same view with something changed; pages begin anew unless a cursor is among it. */
export function changed(
  address: Address,
  changes: Readonly<Record<string, string | undefined>>,
): string {
  return hrefOf(address.path, { ...address.query, cursor: undefined, ...changes });
}

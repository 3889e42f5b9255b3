/**
 * Preloaded into a gateway (`--import`): gives names under `.test` the addresses that a test needs, in every thread.
 * `NAMES` is JSON: a name to its addresses in the order in which a resolver would give them; none = no such name.
 */

import dns, { type LookupAddress, type LookupOptions } from 'node:dns';

type Callback = (
  error: NodeJS.ErrnoException | null,
  address?: string | LookupAddress[],
  family?: number,
) => void;

const names = JSON.parse(process.env['NAMES'] ?? '{}') as Readonly<
  Record<string, readonly string[]>
>;
const real = dns.lookup as unknown as (name: string, options: unknown, done: Callback) => void;

function lookup(name: string, options: LookupOptions, done: Callback): void {
  const addresses = names[name];
  if (addresses === undefined) {
    real(name, options, done);
    return;
  }
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  setImmediate(() => {
    const [first] = found;
    if (first === undefined) {
      done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }));
    } else if (options.all === true) {
      done(null, found);
    } else {
      done(null, first.address, first.family);
    }
  });
}

Object.assign(dns, { lookup });

/**
 * Preloaded into a gateway (`--import`): names under `.test` resolve as the file NAMES_FILE says at the moment of each
 * look-up, in every thread. It holds JSON: a name to what a resolver does with it.
 */

import dns, { type LookupAddress, type LookupOptions } from 'node:dns';
import { readFileSync } from 'node:fs';

/** What becomes of a look-up. */
export interface Resolution {
  /** None: it fails with `error`. */
  readonly addresses?: readonly string[];
  readonly error?: string;
  /** Never: it is not answered at all. */
  readonly afterMs?: number | 'never';
}

type Callback = (
  error: NodeJS.ErrnoException | null,
  address?: string | LookupAddress[],
  family?: number,
) => void;

const real = dns.lookup as unknown as (name: string, options: unknown, done: Callback) => void;
const file = process.env['NAMES_FILE'] ?? '';

function lookup(name: string, options: LookupOptions, done: Callback): void {
  if (!name.endsWith('.test')) {
    real(name, options, done);
    return;
  }
  const names = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, Resolution>>;
  const { addresses = [], error = 'ENOTFOUND', afterMs = 0 } = names[name] ?? {};
  if (afterMs === 'never') return;
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  setTimeout(() => {
    const [first] = found;
    if (first === undefined) done(Object.assign(new Error(error), { code: error }));
    else if (options.all === true) done(null, found);
    else done(null, first.address, first.family);
  }, afterMs);
}

Object.assign(dns, { lookup });

/** Requests whose path names what a provider has stored: they go where it was made, and only for whom it was made. */

import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { EffectivePolicy } from '../policy/policy-table.ts';
import type { Provider } from '../providers/providers.ts';
import { notFound } from '../stored/state-claim.ts';
import type { Home } from '../stored/state-homes.ts';
import { tenantSeed } from '../stored/state-table.ts';
import {
  type Admittance,
  admitted,
  type Directed,
  type Doubtful,
  type Managed,
  type Refused,
  refused,
} from './admission.ts';

/** A stored response in the path: it goes where it was made, and only for whom it was made. */
export function manageStored(
  path: string,
  provider: Provider,
  named: boolean,
  identity: KeyIdentity,
  policy: EffectivePolicy,
  house: Admittance,
): Managed | Sought | Refused {
  const sought = { identity, policy, path, provider, named };
  const stored = house.endpoints.stored(path, provider);
  const isDoubtful = stored !== null && homeOf(stored.id, sought, house) === null;
  const isAllowed = isDoubtful && house.stored.allows(stored.id, identity.tenantWords);
  return isDoubtful && !isAllowed && house.stored.fleet !== null
    ? { ...sought, sought: stored.id }
    : foundStored(sought, house);
}

/** Where what the path names is to be had, as far as this node knows. */
function homeOf(
  id: string,
  { identity, provider, named }: Omit<Sought, 'sought'>,
  house: Admittance,
): Home | null {
  const homes = house.stored.find(id, identity.tenantWords);
  const here = homes.find((one) => one.provider.index === provider.index);
  return here ?? (named ? null : (homes[0] ?? null));
}

function foundStored(sought: Omit<Sought, 'sought'>, house: Admittance): Managed | Refused {
  const { path, provider, identity, policy } = sought;
  const stored = house.endpoints.stored(path, provider);
  const home = stored === null ? null : homeOf(stored.id, sought, house);
  const isAllowed = stored !== null && house.stored.allows(stored.id, identity.tenantWords);
  const unknownKey = isAllowed
    ? house.poolKeys.settled(provider, tenantSeed(identity.tenantWords))
    : null;
  const poolKey = home?.key ?? unknownKey;
  if (stored === null || poolKey === null)
    return refused(notFound('the path', stored?.id ?? null), provider.dialect, provider, identity);
  const at = home?.provider ?? provider;
  return {
    identity,
    policy,
    // It was allowed when it was made.
    permission: null,
    pathModel: null,
    poolKey,
    metering: 'free',
    namesState: false,
    keepsState: false,
    coding: null,
    stored: {
      provider: at,
      path: at.index === provider.index ? path : (at.prefixes[0] ?? '') + stored.suffix,
    },
  };
}

/** What the managed gate says of a request for what is stored of which this node has not heard. */
export interface Sought {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly path: string;
  readonly provider: Provider;
  /** The path's first segment names the provider. */
  readonly named: boolean;
  /** The id that the path names. */
  readonly sought: string;
}

/** @param query as it is forwarded, without credentials */
export function doubtful(
  sought: Sought,
  directed: Directed,
  query: string,
  house: Admittance,
): Doubtful {
  return {
    rejection: null,
    identity: sought.identity,
    isKnown: () => homeOf(sought.sought, sought, house) !== null,
    decided: () => {
      const found = foundStored(sought, house);
      return 'dialect' in found ? found : admitted(directed, query, found);
    },
  };
}

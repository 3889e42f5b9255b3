import type { KeyIdentity } from '../keys/virtual-key.ts';
import { type Rejection, rejection } from '../rejection.ts';
import {
  type Admittance,
  type Admitted,
  type Asked,
  admitted,
  type Directed,
  type Doubtful,
  type Listed,
  type Recalled,
  type Refused,
  refused,
} from './admission.ts';
import { guessDialect, speaksAnthropic } from './caller-dialect.ts';
import { type Credential, findCredential, withoutCredentials } from './credential.ts';
import {
  CAPACITY_GATES,
  firstRejection,
  HEAD_GATES,
  KEY_GATES,
  shedRejection,
  upgrade,
} from './gates.ts';
import { isOwnView, ownView } from './own-view.ts';
import { doubtful } from './stored-admission.ts';
import { manage } from './virtual-key-gate.ts';

const UNNAMED =
  'It is a service of the machine that the gateway runs on: a gateway key reaches it, everybody else once provider_authorities names it.';

/** Decides about one request by its head: head, route, key, virtual key, capacity. */
export function admit(
  asked: Asked,
  house: Admittance,
): Admitted | Listed | Recalled | Doubtful | Refused {
  const unfit = firstRejection(HEAD_GATES, asked, house);
  if (unfit !== null) return refused(unfit, guessDialect(asked));
  // Before the route, because an Anthropic SDK is recognised by where it puts its key. An unknown provider is
  // nevertheless told first: the key it would need depends on the provider.
  const credential = findCredential(asked.fields, asked.query, asked.path);
  const outdated = upgrade(asked, house);
  if (outdated !== null)
    return refused(outdated, guessDialect(asked), null, identityOf(credential, house));
  if (credential.misplaced !== null)
    return refused(misplaced(credential.misplaced), guessDialect(asked), null, null, 'misplaced');
  const found = house.router.route(asked.path, speaksAnthropic(asked, credential));
  const isManaged = credential.kind === 'managed';
  if (isManaged && isOwnView(asked.path)) return ownView(asked, credential, house);
  // Without `/v1` there is no telling whom a caller's own key is for.
  if (found === null || (found.bare && !isManaged)) {
    const unknown = rejection('unknown_provider', house.router.explain(asked.path));
    return refused(unknown, guessDialect(asked));
  }
  if (found.provider.onlyVirtual && !isManaged)
    return refused(rejection('unknown_provider', UNNAMED), guessDialect(asked));
  const { provider, named } = found;
  const path = isManaged ? house.endpoints.spelled(found.path, provider) : found.path;
  const { dialect } = provider;
  const directed: Directed = { asked, credential, provider, path, named };
  const keyless = firstRejection(KEY_GATES, directed, house);
  if (keyless !== null) {
    const identity = isManaged ? house.tokens.known(credential.token.reveal()) : null;
    return refused(keyless, dialect, provider, identity);
  }
  const query = isManaged ? withoutCredentials(asked.query) : asked.query;
  const managed = isManaged ? manage(directed, query, house) : null;
  if (managed !== null && 'dialect' in managed) return managed;
  const unable = firstRejection(CAPACITY_GATES, asked, house);
  if (unable !== null) return refused(unable, dialect, provider, managed?.identity);
  if (managed !== null && 'listed' in managed) return managed;
  if (managed === null) return admitted(directed, query, null);
  const policy = 'routed' in managed ? managed.routed.policy : managed.policy;
  const shed = shedRejection(policy, house);
  if (shed !== null) return refused(shed, dialect, provider, managed.identity);
  return 'sought' in managed
    ? doubtful(managed, directed, query, house)
    : admitted(directed, query, managed);
}

/** Whose request is refused whatever its key is: Codex offers to upgrade with the first use of a key. */
function identityOf({ kind, token }: Credential, house: Admittance): KeyIdentity | null {
  if (kind !== 'managed') return null;
  // Like any request: what is counted first is what keeps a flood from the cryptography.
  if (house.rates.admitCredential(token.reveal()) > 0) return house.tokens.known(token.reveal());
  const identity = house.tokens.check(token.reveal());
  return 'code' in identity ? null : identity;
}

/** A managed key that stands where it would be forwarded, or logged. @param where in words, without the key */
function misplaced(where: string): Rejection {
  const positions =
    'Authorization: Bearer, x-api-key, api-key, x-goog-api-key and the query parameter key';
  return rejection('bad_key', `It stands in ${where}; its places are ${positions}.`);
}

/**
 * How the commands of a gateway show it that they have read its whole configuration, secrets too: `sluice explain` has no admin
 * token, and asks its gateway how it is doing all the same.
 *
 * Decision: no exception for what comes from this machine. A proxy beside the gateway comes from there as well, and nginx as it
 * is shipped adds no field that would tell its requests from ours.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { Secret } from '../secret.ts';
import type { Config } from './config-document.ts';

/** As `Authorization` names it. */
const SCHEME = 'Sluice-Config';

/** Of what is proven, so that no other use of these secrets ever makes the same text. */
const PURPOSE = 'sluice: the admin listener is asked by whoever has read its configuration';

/** @returns the value of `Authorization`: the same for all that hold the same pool keys and let the same people in */
export function configProof({ admin, poolKeys }: Pick<Config, 'admin' | 'poolKeys'>): Secret {
  const { tokens = [], oidc = null } = admin ?? {};
  const known = [
    tokens.map(({ name, hash }) => [name, hash]).sort(),
    oidc?.clientSecret?.reveal() ?? null,
    [...poolKeys].map(([provider, keys]) => [provider, keys.map((key) => key.reveal())]).sort(),
  ];
  const mac = createHmac('sha256', JSON.stringify(known)).update(PURPOSE);
  return new Secret(`${SCHEME} ${mac.digest('base64url')}`);
}

/** Whether it is meant as one: what is not costs no look at the secrets. */
export function isProofLike(shown: string): boolean {
  return shown.startsWith(`${SCHEME} `);
}

/** Compared in the same time whatever was shown. */
export function isProof(shown: string, proof: Secret): boolean {
  const [left, right] = [Buffer.from(shown), Buffer.from(proof.reveal())];
  return left.length === right.length && timingSafeEqual(left, right);
}

import { createHash, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createAccount, createOperator, createUser, type KeyPair } from 'nkeys.js';

const base64url = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url');

/** A claim of NATS's decentralised authentication, signed as its servers expect (docs.nats.io, JWTs). */
function claim(issuer: KeyPair, subject: string, name: string, nats: object): string {
  const header = base64url(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }));
  const body = { iss: issuer.getPublicKey(), sub: subject, name, iat: 1_700_000_000, nats };
  const jti = createHash('sha256').update(randomUUID()).digest('hex');
  const signed = `${header}.${base64url(JSON.stringify({ ...body, jti }))}`;
  return `${signed}.${base64url(issuer.sign(Buffer.from(signed)))}`;
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 };
const ACCOUNT_LIMITS = {
  ...UNLIMITED,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
  mem_storage: -1,
  disk_storage: -1,
  streams: -1,
  consumer: -1,
};

/**
 * Makes an operator, an account with JetStream and a user of it.
 * @param credsFile where the user's credentials are written
 * @returns the lines of a server's configuration that let in nobody else
 */
export function natsAuthentication(credsFile: string): string {
  const [operator, system, account, user] = [
    createOperator(),
    createAccount(),
    createAccount(),
    createUser(),
  ];
  const operatorJwt = claim(operator, operator.getPublicKey(), 'O', {
    type: 'operator',
    version: 2,
    system_account: system.getPublicKey(),
  });
  const accountJwt = (pair: KeyPair, name: string, limits: object): string =>
    claim(operator, pair.getPublicKey(), name, { type: 'account', version: 2, limits });
  const userJwt = claim(account, user.getPublicKey(), 'U', {
    type: 'user',
    version: 2,
    pub: {},
    sub: {},
    ...UNLIMITED,
  });
  writeFileSync(
    credsFile,
    `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
      `-----BEGIN USER NKEY SEED-----\n${Buffer.from(user.getSeed()).toString()}\n------END USER NKEY SEED------\n`,
  );
  const systemLimits = { ...ACCOUNT_LIMITS, mem_storage: 0, disk_storage: 0, streams: 0 };
  return `operator: ${operatorJwt}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: {
  ${system.getPublicKey()}: ${accountJwt(system, 'SYS', systemLimits)}
  ${account.getPublicKey()}: ${accountJwt(account, 'A', ACCOUNT_LIMITS)}
}`;
}

// What it costs to decide about a request, as a whole and the parts that are not in bench:keys: npm run bench:admission
import type { Admittance, Asked } from '../../src/admit/admission.ts';
import { admit } from '../../src/admit/admit.ts';
import { Cors } from '../../src/admit/cors.ts';
import { ManagedEndpoints } from '../../src/admit/endpoint.ts';
import { ModelList } from '../../src/admit/model-list.ts';
import { createRateTable, RateGuard } from '../../src/admit/rate.ts';
import { Router } from '../../src/admit/route.ts';
import { createTokenTable } from '../../src/admit/token-table.ts';
import { VerifiedTokens } from '../../src/admit/verified-tokens.ts';
import { createDenyTable, DenyHalves, DenyLookup } from '../../src/deny/deny-table.ts';
import { mintToken, newSecretKey, publicKeyOf } from '../../src/keys/minting.ts';
import { signingKeys } from '../../src/keys/signing-keys.ts';
import { PolicyTable } from '../../src/policy/policy-table.ts';
import { PoolKeys } from '../../src/providers/pool-keys.ts';
import { providerTable } from '../../src/providers/providers.ts';
import { Secret } from '../../src/secret.ts';
import { requestFraming } from '../../src/wire/request-framing.ts';
import { noLimits, UNLIMITED } from '../../test/support/no-limits.ts';
import { nothingStored } from '../../test/support/stored.ts';
import { sdkFields } from './sdk-fields.ts';
import { type Task, taskTable } from './task-cost.ts';

const MILLION = 1_000_000;
const KID = 7;
const secret = newSecretKey();
const claims = { kid: KID, tenantId: 42n, vpcId: 99n };
const v1 = mintToken(secret, { ...claims, keyId: null });
const v2 = mintToken(secret, { ...claims, keyId: 7n });

const providers = providerTable([]);
const router = new Router(providers);
const rates = new RateGuard(
  createRateTable({ credentialRps: 1_000_000, byoRps: 1_000_000, verifyRps: 1_000_000 }),
);
/** Its clock stands still: what is used up stays used up. */
const shutRates = new RateGuard(
  createRateTable({ credentialRps: 1, byoRps: 1, verifyRps: 1 }),
  () => 0,
);

/** A lookup among so many tenants that are cut off; 42 is none of them. */
function denying(entries: number): DenyLookup {
  const memory = createDenyTable();
  const half = new DenyHalves(memory).active;
  for (let id = 0; id < entries; id++) half.deny('tenant', id + 1_000, 0, 'spend');
  return new DenyLookup(memory);
}
const nobodyDenied = denying(0);
const millionDenied = denying(MILLION);

const poolKeys = new PoolKeys(providers, new Map([['openai', [new Secret('sk-pool')]]]), 0);
const NO_MODELS = new ModelList({ openai: [], anthropic: [] });

const house: Admittance = {
  router,
  rates,
  tokens: new VerifiedTokens(
    signingKeys(new Map([[KID, publicKeyOf(secret)]])),
    rates,
    createTokenTable(),
  ),
  deny: nobodyDenied,
  endpoints: new ManagedEndpoints(providers, [], []),
  policies: new PolicyTable(
    {
      policies: new Map(),
      keys: new Map(),
      tenants: new Map(),
      classes: new Map(),
      limits: UNLIMITED,
    },
    (name) => name,
    noLimits(),
  ),
  modelsOf: () => NO_MODELS,
  poolKeys,
  stored: nothingStored(providers, poolKeys),
  cors: new Cors([]),
  maxRequestBodyBytes: 209_715_200,
  refusing: false,
  keepsFacts: true,
  full: () => false,
  sheds: () => false,
};

function asked(path: string, key: string): Asked {
  const fields = sdkFields(key);
  return { method: 'POST', path, query: '', fields, framing: requestFraming('POST', fields) };
}
const chat = '/v1/chat/completions';
const byo = asked(chat, 'sk-own');
const managed = asked(chat, v1);
const managedV2 = asked(chat, v2);
const unknown = asked('/v2/chat/completions', 'sk-own');
const missing = asked('/v1/files', v1);

/** @param admitted false: it must be refused */
function admission(name: string, one: Asked, admitted: boolean, within = house): Task {
  const run = () => {
    const decided = admit(one, within);
    if ((decided.rejection === null) !== admitted) throw new Error(name);
    return decided;
  };
  return { name: `admission: ${name}`, run };
}

let asks = 0;
/** Ids in no order that a cache could like. */
const nextId = (): number => {
  asks += 7;
  return asks % MILLION;
};
await taskTable('admission', 'Deciding about a request', [
  admission("caller's own key", byo, true),
  admission('managed key, known', managed, true),
  admission('managed key of version 2, known', managedV2, true),
  admission('managed key, known, a million tenants denied', managed, true, {
    ...house,
    deny: millionDenied,
  }),
  admission('refused: no such provider', unknown, false),
  admission('refused: endpoint not managed', missing, false),
  admission('refused: over its rate', managed, false, exhausted()),
  { name: 'route: /v1', run: () => router.route(chat, false) },
  { name: 'route: /groq', run: () => router.route(`/groq/openai${chat}`, false) },
  { name: 'deny lookup, of 0, not denied', run: () => nobodyDenied.find('tenant', nextId(), 1) },
  {
    name: 'deny lookup, of 1,000,000, not denied',
    run: () => millionDenied.find('tenant', nextId(), 1),
  },
  {
    name: 'deny lookup, of 1,000,000, denied',
    run: () => millionDenied.find('tenant', 1_000 + nextId(), 0),
  },
]);

/** A house whose guardrail has nothing left for this token. */
function exhausted(): Admittance {
  shutRates.admitCredential(v1);
  return { ...house, rates: shutRates };
}

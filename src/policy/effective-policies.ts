/** What holds for whom, value by value with its origin: for people. */

import { nanoUsd } from '../budget/budget-refusals.ts';
import { KEY_CLASSES, type KeyClass } from '../keys/key-class.ts';
import {
  classOf,
  layersOf,
  type PolicyConfig,
  type PolicySettings,
  saidFirst,
  tenantLayers,
  tenantLimitsOf,
} from './policy-settings.ts';

type Row = readonly [member: string, value: string, origin: string];

const BUILT_IN = 'nothing says otherwise';

/**
 * Lines for every key and tenant that is named, and for every class; of a key whose class is not said, one block for each
 * class with which it may have been minted. A key of a named tenant has the tenant's policy behind its own.
 */
export function effectivePolicies(config: PolicyConfig): readonly string[] {
  const { keys, tenants } = config;
  return [
    ...[...keys].flatMap(([id, { keyClass, name }]) =>
      (keyClass === null ? KEY_CLASSES : [keyClass]).flatMap((minted) =>
        block(`key ${titled(id, name)}, class ${minted}`, rowsOf(config, id, null, minted)),
      ),
    ),
    ...[...tenants].flatMap(([id, { name }]) =>
      KEY_CLASSES.flatMap((minted) =>
        block(`tenant ${titled(id, name)}, class ${minted}`, rowsOf(config, null, id, minted)),
      ),
    ),
    ...KEY_CLASSES.flatMap((minted) =>
      block(`every other key, class ${minted}`, rowsOf(config, null, null, minted)),
    ),
  ];
}

function titled(id: string, name: string | null): string {
  return name === null ? id : `${id} (${name})`;
}

function block(title: string, rows: readonly Row[]): readonly string[] {
  const lines = rows.map(
    ([member, value, origin]) => `  ${member.padEnd(14)} ${value}   # ${origin}`,
  );
  return [title, ...lines, ''];
}

function rowsOf(
  config: PolicyConfig,
  key: string | null,
  tenant: string | null,
  minted: KeyClass,
): readonly Row[] {
  const said = key === null ? undefined : config.keys.get(key);
  const keyClass = classOf(config, key, minted);
  const layers = layersOf(config, key, tenant, keyClass);
  const [first] = layers;
  const models = saidFirst(layers, 'models');
  const rehearse = saidFirst(layers, 'rehearse');
  const expiresMs = said?.expiresMs ?? null;
  return [
    ['policy', first?.policy ?? 'none', first?.namedBy ?? BUILT_IN],
    ['class', keyClass, said?.keyClass == null ? 'as it was minted' : `[keys.${key}]`],
    [
      'expires',
      expiresMs === null ? 'never' : new Date(expiresMs).toISOString(),
      expiresMs === null ? BUILT_IN : `[keys.${key}]`,
    ],
    [
      'models',
      models === null || models.value.length === 0 ? 'all' : models.value.join(', '),
      models === null ? BUILT_IN : saidBy(models.by),
    ],
    ...LIMIT_MEMBERS.flatMap((member) => limitRows(config, key, tenant, keyClass, member)),
    ...MONEY_MEMBERS.flatMap((member) => moneyRows(config, key, tenant, keyClass, member)),
    ...(rehearse === null
      ? []
      : [['rehearse', String(rehearse.value), saidBy(rehearse.by)] as const]),
  ];
}

function saidBy({ policy, namedBy }: ReturnType<typeof layersOf>[number]): string {
  return `[policies.${policy}], by ${namedBy}`;
}

const LIMIT_MEMBERS = ['rpm', 'tpm', 'maxInFlight', 'mode'] as const;
const LIMIT_NAMES = { rpm: 'rpm', tpm: 'tpm', maxInFlight: 'max_in_flight', mode: 'mode' } as const;

const MONEY_MEMBERS = ['budgetPerDay', 'budgetPerMonth', 'maxCostPerRequest'] as const;
const MONEY_NAMES = {
  budgetPerDay: 'budget_usd_per_day',
  budgetPerMonth: 'budget_usd_per_month',
  maxCostPerRequest: 'max_cost_per_request_usd',
} as const;

/** Only what is said: of a budget, as of limits, for each key by itself and for all keys of the tenant. */
function moneyRows(
  config: PolicyConfig,
  key: string | null,
  tenant: string | null,
  keyClass: KeyClass,
  member: (typeof MONEY_MEMBERS)[number],
): readonly Row[] {
  const isOfRequest = member === 'maxCostPerRequest';
  const own = saidFirst(layersOf(config, key, isOfRequest ? tenant : null, keyClass), member);
  const all =
    isOfRequest || tenant === null ? null : saidFirst(tenantLayers(config, tenant), member);
  const row = (said: typeof own, whose: string): readonly Row[] =>
    said === null || said.value === 0
      ? []
      : [[MONEY_NAMES[member], nanoUsd(said.value), `${saidBy(said.by)}${whose}`]];
  return [
    ...row(own, isOfRequest ? '' : '; each key by itself'),
    ...row(all, '; all its keys together'),
  ];
}

/** What counts for each key by itself; behind it, what counts over all keys of the tenant. */
function limitRows(
  config: PolicyConfig,
  key: string | null,
  tenant: string | null,
  keyClass: KeyClass,
  member: (typeof LIMIT_MEMBERS)[number],
): readonly Row[] {
  const own = saidFirst<keyof PolicySettings>(layersOf(config, key, null, keyClass), member);
  const each: Row = [
    LIMIT_NAMES[member],
    own === null ? (member === 'mode' ? 'enforce' : '0') : String(own.value),
    own === null
      ? BUILT_IN
      : `[policies.${own.by.policy}], by ${own.by.namedBy}; each key by itself`,
  ];
  if (tenant === null || member === 'mode') return [each];
  const all = tenantLimitsOf(config, tenant);
  const value = all.limits[member];
  if (value === 0) return [each];
  const policy = config.tenants.get(tenant)?.policy;
  const counted = all.enforced ? '' : ', counted only';
  const origin = `[policies.${policy}], by [tenants.${tenant}]; all its keys together${counted}`;
  return [each, [LIMIT_NAMES[member], String(value), origin]];
}

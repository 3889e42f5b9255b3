/** What holds for whom, value by value with its origin: for people. */

import { nanoUsd } from '../budget/budget-refusals.ts';
import { KEY_CLASSES, type KeyClass } from '../keys/key-class.ts';
import { type Limits, limitsSomething } from './limit-settings.ts';
import {
  classOf,
  type Layer,
  layersOf,
  modeOf,
  type PolicyConfig,
  type PolicySettings,
  saidFirst,
  tenantLayers,
  tenantLimitsOf,
} from './policy-settings.ts';

type Row = readonly [member: string, value: string, origin: string];

const NOT_COUNTED = '; not counted, its mode is off';
const BUILT_IN = 'nothing says otherwise';

/** Blocks for pairs of a key and a tenant: more is a page that nobody reads. */
const PAIRS_MAX = 1_000;

/**
 * Who made at run time what stands at a place.
 * @param place `keys.7`
 * @param member `policy`
 * @returns to be put behind the place: nothing where it is the file's
 */
export type MadeBy = (place: string, member: string) => string;

const BY_FILE: MadeBy = () => '';

/**
 * Lines for every key and tenant that is named, and for every class; of a key whose class is not said, one block for each
 * class with which it may have been minted. A key of a named tenant has the tenant's policy behind its own: a key of which it
 * is not said whose it is has a block for each of them.
 */
export function effectivePolicies(
  config: PolicyConfig,
  madeBy: MadeBy = BY_FILE,
): readonly string[] {
  const { keys, tenants, limits } = config;
  const named = [...tenants.keys()];
  const pairs = [...keys].flatMap(([id, { tenant }]) =>
    (tenant === null ? named : named.filter((one) => one === tenant)).map(
      (one): readonly [key: string, tenant: string] => [id, one],
    ),
  );
  const told = pairs.slice(0, PAIRS_MAX);
  const left = pairs.length - told.length;
  return [
    ...[...keys].flatMap(([id, { keyClass, name }]) =>
      (keyClass === null ? KEY_CLASSES : [keyClass]).flatMap((minted) =>
        block(`key ${titled(id, name)}, class ${minted}`, rowsOf(config, id, null, minted, madeBy)),
      ),
    ),
    ...told.flatMap(([id, tenant]) => {
      const { keyClass = null, name = null } = keys.get(id) ?? {};
      const owner = titled(tenant, tenants.get(tenant)?.name ?? null);
      return (keyClass === null ? KEY_CLASSES : [keyClass]).flatMap((minted) =>
        block(
          `key ${titled(id, name)} of tenant ${owner}, class ${minted}`,
          rowsOf(config, id, tenant, minted, madeBy),
        ),
      );
    }),
    ...(left > 0 ? [`${left} more pairs of a key and a tenant are left out`, ''] : []),
    ...[...tenants].flatMap(([id, { name }]) =>
      KEY_CLASSES.flatMap((minted) =>
        block(
          `tenant ${titled(id, name)}, class ${minted}`,
          rowsOf(config, null, id, minted, madeBy),
        ),
      ),
    ),
    ...KEY_CLASSES.flatMap((minted) =>
      block(`every other key, class ${minted}`, rowsOf(config, null, null, minted, madeBy)),
    ),
    ...block('all virtual keys together', gatewayRows(limits)),
  ];
}

/** `[limits]`: what no single key or tenant has. */
function gatewayRows(limits: PolicyConfig['limits']): readonly Row[] {
  const purses: readonly (readonly [title: string, Limits, origin: string])[] = [
    ['the gateway', limits.gateway, '[limits]'],
    ...[...limits.classes].map(([name, said]) => purseOf('class', 'classes', name, said)),
    ...[...limits.providers].map(([name, said]) => purseOf('provider', 'providers', name, said)),
    ...[...limits.models].map(([name, said]) => purseOf('model', 'models', `"${name}"`, said)),
  ];
  const said = purses.filter(([, purse]) => limitsSomething(purse));
  const shares = [...limits.shares].map(
    ([name, share]): Row => [
      'share',
      `${share} of all that is shared, class ${name}`,
      '[limits.shares]',
    ],
  );
  if (said.length === 0) return [['limits', 'none', BUILT_IN], ...shares];
  const rows = said.flatMap(([title, purse, origin]) =>
    (['rpm', 'tpm', 'maxInFlight'] as const)
      .filter((member) => purse[member] > 0)
      .map((member): Row => [LIMIT_NAMES[member], `${purse[member]} of ${title}`, origin]),
  );
  return [...rows, ...shares];
}

function purseOf(
  kind: string,
  table: string,
  name: string,
  said: Limits,
): readonly [title: string, Limits, origin: string] {
  return [`${kind} ${name.replaceAll('"', '')}`, said, `[limits.${table}.${name}]`];
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
  madeBy: MadeBy,
): readonly Row[] {
  const said = key === null ? undefined : config.keys.get(key);
  const keyClass = classOf(config, key, minted);
  const layers = layersOf(config, key, tenant, keyClass);
  const [first] = layers;
  const models = saidFirst(layers, 'models');
  const rehearse = saidFirst(layers, 'rehearse');
  const strict = saidFirst(layers, 'strict');
  const guards = saidFirst(layers, 'guards');
  const identical = saidFirst(layers, 'identicalRpm');
  const estimate = saidFirst(layers, 'budgetEstimate');
  const caps = saidFirst(layers, 'capOutput');
  const stops = saidFirst(layers, 'hardStop');
  const instead = saidFirst(layers, 'onExceeded');
  const expiresMs = said?.expiresMs ?? null;
  const isCached = saidFirst(layers, 'cache')?.value === 'exact';
  const own = (member: string) => `[keys.${key}]${madeBy(`keys.${key}`, member)}`;
  return [
    ['policy', first?.policy ?? 'none', first === undefined ? BUILT_IN : naming(first, madeBy)],
    ['class', keyClass, said?.keyClass == null ? 'as it was minted' : own('class')],
    [
      'expires',
      expiresMs === null ? 'never' : new Date(expiresMs).toISOString(),
      expiresMs === null ? BUILT_IN : own('expires'),
    ],
    [
      'models',
      models === null || models.value.length === 0 ? 'all' : models.value.join(', '),
      models === null ? BUILT_IN : saidBy(models.by, 'models', madeBy),
    ],
    ...LIMIT_MEMBERS.flatMap((member) => limitRows(config, key, tenant, keyClass, member, madeBy)),
    ...MONEY_MEMBERS.flatMap((member) => moneyRows(config, key, tenant, keyClass, member, madeBy)),
    ...(estimate === null
      ? []
      : [
          [
            'budget_estimate',
            estimate.value,
            saidBy(estimate.by, 'budget_estimate', madeBy),
          ] as const,
        ]),
    ...(caps === null
      ? []
      : [['cap_output', String(caps.value), saidBy(caps.by, 'cap_output', madeBy)] as const]),
    ...(stops === null
      ? []
      : [['hard_stop', String(stops.value), saidBy(stops.by, 'hard_stop', madeBy)] as const]),
    ...(instead === null
      ? []
      : [['on_exceeded', instead.value, saidBy(instead.by, 'on_exceeded', madeBy)] as const]),
    ...(identical === null || identical.value === 0
      ? []
      : [
          [
            'identical_rpm',
            String(identical.value),
            `${saidBy(identical.by, 'identical_rpm', madeBy)}; each key by itself`,
          ] as const,
        ]),
    ...CACHE_MEMBERS.flatMap(([member, name]): readonly Row[] => {
      const of = saidFirst<keyof PolicySettings>(layers, member);
      // Of what is off nothing counts.
      if (of === null || (!isCached && member !== 'cache')) return [];
      return [[name, String(of.value), saidBy(of.by, name, madeBy)]];
    }),
    ...(rehearse === null
      ? []
      : [['rehearse', String(rehearse.value), saidBy(rehearse.by, 'rehearse', madeBy)] as const]),
    ...(strict === null
      ? []
      : [['strict', String(strict.value), saidBy(strict.by, 'strict', madeBy)] as const]),
    ...(guards === null || guards.value.length === 0
      ? []
      : [['guards', guards.value.join(', '), saidBy(guards.by, 'guards', madeBy)] as const]),
  ];
}

/** `[keys.7]`, and who made that at run time. */
function naming({ namedBy }: Layer, madeBy: MadeBy): string {
  return `${namedBy}${madeBy(namedBy.replace(/^\[(.*)\]$/, '$1'), 'policy')}`;
}

function saidBy(by: Layer, member: string, madeBy: MadeBy): string {
  const { policy } = by;
  return `[policies.${policy}]${madeBy(`policies.${policy}`, member)}, by ${naming(by, madeBy)}`;
}

const CACHE_MEMBERS = [
  ['cache', 'cache'],
  ['cacheMatch', 'cache_match'],
  ['cacheScope', 'cache_scope'],
  ['hashStrategy', 'hash_strategy'],
  ['cacheTtlSecs', 'cache_ttl_secs'],
] as const;

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
  madeBy: MadeBy,
): readonly Row[] {
  const isOfRequest = member === 'maxCostPerRequest';
  const each = layersOf(config, key, isOfRequest ? tenant : null, keyClass);
  const own = saidFirst(each, member);
  const all =
    isOfRequest || tenant === null ? null : saidFirst(tenantLayers(config, tenant), member);
  const off = (layers: readonly Layer[]): string => (modeOf(layers) === 'off' ? NOT_COUNTED : '');
  const row = (said: typeof own, whose: string): readonly Row[] =>
    said === null || said.value === 0
      ? []
      : [
          [
            MONEY_NAMES[member],
            nanoUsd(said.value),
            `${saidBy(said.by, MONEY_NAMES[member], madeBy)}${whose}`,
          ],
        ];
  return [
    ...row(own, `${isOfRequest ? '' : '; each key by itself'}${off(each)}`),
    ...row(all, `; all its keys together${off(tenantLayers(config, tenant ?? ''))}`),
  ];
}

/** What counts for each key by itself; behind it, what counts over all keys of the tenant. */
function limitRows(
  config: PolicyConfig,
  key: string | null,
  tenant: string | null,
  keyClass: KeyClass,
  member: (typeof LIMIT_MEMBERS)[number],
  madeBy: MadeBy,
): readonly Row[] {
  const layers = layersOf(config, key, null, keyClass);
  const own = saidFirst<keyof PolicySettings>(layers, member);
  const off = member !== 'mode' && modeOf(layers) === 'off' ? NOT_COUNTED : '';
  const each: Row = [
    LIMIT_NAMES[member],
    own === null ? (member === 'mode' ? 'enforce' : '0') : String(own.value),
    own === null
      ? BUILT_IN
      : `${saidBy(own.by, LIMIT_NAMES[member], madeBy)}; each key by itself${off}`,
  ];
  if (tenant === null || member === 'mode') return [each];
  const all = tenantLimitsOf(config, tenant);
  const value = all.limits[member];
  if (value === 0) return [each];
  const policy = config.tenants.get(tenant)?.policy;
  const counted = all.enforced ? '' : ', counted only';
  const place = `policies.${policy}`;
  const naming = `[tenants.${tenant}]${madeBy(`tenants.${tenant}`, 'policy')}`;
  const origin = `[${place}]${madeBy(place, LIMIT_NAMES[member])}, by ${naming}; all its keys together${counted}`;
  return [each, [LIMIT_NAMES[member], String(value), origin]];
}

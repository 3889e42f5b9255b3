import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KEY_CLASSES } from '../../../src/keys/key-class.ts';
import { idWords, type KeyIdentity } from '../../../src/keys/virtual-key.ts';
import type { PolicyConfig, PolicySettings } from '../../../src/policy/policy-settings.ts';
import { PolicyTable } from '../../../src/policy/policy-table.ts';
import { createRepeatTable, RepeatTable } from '../../../src/policy/repeat-table.ts';
import { noLimits, UNLIMITED } from '../../support/no-limits.ts';
import { spendingContext } from '../../support/spending-context.ts';

function identity(
  keyId: bigint | null,
  tenantId: bigint,
  keyClass: KeyIdentity['keyClass'],
): KeyIdentity {
  return {
    kid: 7,
    tenantId,
    vpcId: 1n,
    keyId,
    keyClass,
    tenantText: tenantId.toString(),
    vpcText: '1',
    keyText: keyId === null ? null : keyId.toString(),
    tenantWords: idWords(tenantId),
    keyWords: keyId === null ? null : idWords(keyId),
  };
}

const SILENT = {
  models: null,
  rpm: null,
  tpm: null,
  maxInFlight: null,
  identicalRpm: null,
  budgetEstimate: null,
  capOutput: null,
  hardStop: null,
  cache: null,
  cacheMatch: null,
  cacheScope: null,
  hashStrategy: null,
  cacheTtlSecs: null,
  onExceeded: null,
  strict: null,
  guards: null,
  mode: null,
  budgetPerDay: null,
  budgetPerMonth: null,
  maxCostPerRequest: null,
  unpriced: null,
  rehearse: null,
} as const;

const NAMES = ['default', 'a', 'b', 'c'] as const;
const name = fc.constantFrom(...NAMES);
const ids = fc.bigInt({ min: 1n, max: 3n });
const models = fc.option(fc.subarray(['x/1', 'x/2', 'y/*']));
const rehearse = fc.option(fc.boolean());

const configs: fc.Arbitrary<PolicyConfig> = fc
  .record({
    said: fc.tuple(models, models, models, models),
    rehearse: fc.tuple(rehearse, rehearse, rehearse, rehearse),
    keys: fc.array(
      fc.tuple(
        ids,
        fc.record({
          name: fc.constant(null),
          tenant: fc.constant(null),
          policy: fc.option(name),
          keyClass: fc.option(fc.constantFrom(...KEY_CLASSES)),
          expiresMs: fc.option(fc.nat()),
        }),
      ),
    ),
    tenants: fc.array(
      fc.tuple(ids, fc.record({ name: fc.constant(null), policy: fc.option(name) })),
    ),
    classes: fc.array(fc.tuple(fc.constantFrom(...KEY_CLASSES), name)),
    hasDefault: fc.boolean(),
  })
  .map(({ said, rehearse, keys, tenants, classes, hasDefault }) => ({
    policies: new Map(
      NAMES.map(
        (policy, at) =>
          [
            policy,
            { ...SILENT, models: said[at] ?? null, rehearse: rehearse[at] ?? null },
          ] as const,
      ).filter(([policy]) => hasDefault || policy !== 'default'),
    ),
    keys: new Map(keys.map(([id, row]) => [id.toString(), row])),
    tenants: new Map(tenants.map(([id, row]) => [id.toString(), row])),
    classes: new Map(classes),
    limits: UNLIMITED,
  }));

describe('PolicyTable', () => {
  it('member by member the most specific policy that says something counts, for every key, tenant and class', () => {
    const minted = fc.constantFrom(...KEY_CLASSES);
    fc.assert(
      fc.property(configs, fc.option(ids), ids, minted, (config, keyId, tenantId, keyClass) => {
        const table = new PolicyTable(config, (entry) => entry, noLimits());
        const effective = table.of(identity(keyId, tenantId, keyClass));
        // Said once more, as the contract says it.
        const key = config.keys.get(String(keyId));
        const counted = key?.keyClass ?? keyClass;
        const holding = [
          key?.policy,
          config.tenants.get(tenantId.toString())?.policy,
          config.classes.get(counted),
          'default',
        ].filter((policy) => policy != null && config.policies.has(policy));
        const said = holding
          .map((policy) => config.policies.get(policy ?? '')?.models)
          .find((list) => list != null);
        expect(effective.name).toBe(holding[0] ?? null);
        expect(effective.keyClass).toBe(counted);
        expect(effective.expiresMs).toBe(key?.expiresMs ?? Number.POSITIVE_INFINITY);
        const rehearses = holding
          .map((policy) => config.policies.get(policy ?? '')?.rehearse)
          .find((value) => value != null);
        expect(effective.mayRehearse).toBe(rehearses ?? false);
        const allowed = (asked: string) => effective.models?.allows(asked) ?? true;
        for (const asked of ['x/1', 'x/2', 'y/9', 'z/1']) {
          const expected =
            said === undefined ||
            said.length === 0 ||
            said.includes(asked) ||
            (said.includes('y/*') && asked.startsWith('y/'));
          expect([asked, allowed(asked)]).toEqual([asked, expected]);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('keys whose ids meet in one place have each their own policy, whoever asked before', () => {
    const many = Array.from({ length: 3_000 }, (_, at) => BigInt(at));
    const config: PolicyConfig = {
      policies: new Map([
        ['a', { ...SILENT, models: ['x/1'] }],
        ['default', { ...SILENT, models: ['y/*'] }],
      ]),
      keys: new Map(
        many
          .filter((id) => id % 3n === 0n)
          .map((id) => {
            const row = { name: null, tenant: null, policy: 'a', keyClass: null, expiresMs: null };
            return [id.toString(), row];
          }),
      ),
      tenants: new Map(),
      classes: new Map(),
      limits: UNLIMITED,
    };
    const table = new PolicyTable(config, (entry) => entry, noLimits());
    const holders = many.map((id) => identity(id, 9n, 'agent'));
    const names = () => holders.map((holder) => table.of(holder).name);
    const expected = many.map((id) => (id % 3n === 0n ? 'a' : 'default'));
    expect(names()).toEqual(expected);
    expect(names()).toEqual(expected);
    // The same ids in another token, of another class.
    expect(table.of(identity(1n, 9n, 'developer')).keyClass).toBe('developer');
    expect(table.of(identity(1n, 9n, 'agent')).keyClass).toBe('agent');
  });

  describe('of what counts for each key by itself', () => {
    const USD = 1_000_000_000;

    /** Of key 1 in tenant 1 and class agent, where policies of these names say this. */
    function holds(said: Readonly<Record<string, Partial<PolicySettings>>>) {
      const row = { name: null, tenant: null, keyClass: null, expiresMs: null };
      const policies = new Map(
        Object.entries(said).map(([policy, own]) => [policy, { ...SILENT, ...own }]),
      );
      const named = (policy: string) => (policies.has(policy) ? policy : null);
      const config: PolicyConfig = {
        policies,
        keys: new Map([['1', { ...row, policy: named('key') }]]),
        tenants: new Map([['1', { name: null, policy: named('tenant') }]]),
        classes: new Map(policies.has('class') ? [['agent', 'class']] : []),
        limits: UNLIMITED,
      };
      const repeats = {
        table: new RepeatTable(createRepeatTable(), () => {}),
        counts: { looped() {} },
        nowMs: () => 0,
      };
      const table = new PolicyTable(
        config,
        (entry) => entry,
        noLimits(),
        spendingContext(),
        repeats,
      );
      const { isStrict, spending, repeats: own } = table.of(identity(1n, 1n, 'agent'));
      return {
        isStrict,
        maxCost: (spending?.maxCostNano ?? 0) / USD,
        isWatched: own !== null,
      };
    }

    const ORDER = ['key', 'tenant', 'class', 'default'] as const;

    it.each(
      ORDER,
    )('what the policy of the %s says holds, unless a more specific one says something', (policy) => {
      const less = ORDER.slice(ORDER.indexOf(policy) + 1);
      const others = Object.fromEntries(
        less.map((name) => [name, { strict: false, maxCostPerRequest: 9 * USD, identicalRpm: 0 }]),
      );
      const said = { strict: true, maxCostPerRequest: 2 * USD, identicalRpm: 5 };
      expect(holds({ ...others, [policy]: said })).toEqual({
        isStrict: true,
        maxCost: 2,
        isWatched: true,
      });
      const more = ORDER.slice(0, ORDER.indexOf(policy));
      for (const name of more)
        expect(
          holds({
            [policy]: said,
            [name]: { strict: false, maxCostPerRequest: 1 * USD, identicalRpm: 0 },
          }),
        ).toEqual({ isStrict: false, maxCost: 1, isWatched: false });
    });

    it('a mode of off leaves neither a most that one may cost nor a loop, and refuses losses as ever', () => {
      const said = { strict: true, maxCostPerRequest: 2 * USD, identicalRpm: 5 };
      const off = { isStrict: true, maxCost: 0, isWatched: false };
      expect(holds({ default: { ...said, mode: 'off' } })).toEqual(off);
      expect(holds({ default: said, key: { mode: 'off' } })).toEqual(off);
      expect(holds({ default: { ...said, mode: 'off' }, key: { mode: 'warn' } })).toEqual({
        isStrict: true,
        maxCost: 2,
        isWatched: true,
      });
    });
  });

  it('keys of which the same is said share one policy, and the same key finds it again', () => {
    const config: PolicyConfig = {
      policies: new Map([['default', { ...SILENT, models: ['x/*'] }]]),
      keys: new Map(),
      tenants: new Map(),
      classes: new Map(),
      limits: UNLIMITED,
    };
    const table = new PolicyTable(config, (entry) => entry, noLimits());
    const one = identity(1n, 1n, 'agent');
    expect(table.of(one)).toBe(table.of(one));
    expect(table.of(identity(2n, 2n, 'agent'))).toBe(table.of(one));
    expect(table.of(identity(2n, 2n, 'developer'))).not.toBe(table.of(one));
    expect(table.of(identity(2n, 2n, 'developer')).models).toBe(table.of(one).models);
  });

  it('an alias in a permission is its provider', () => {
    const config: PolicyConfig = {
      policies: new Map([['default', { ...SILENT, models: ['claude/*'] }]]),
      keys: new Map(),
      tenants: new Map(),
      classes: new Map(),
      limits: UNLIMITED,
    };
    const canonical = (entry: string) => entry.replace(/^claude\//, 'anthropic/');
    const { models } = new PolicyTable(config, canonical, noLimits()).of(
      identity(null, 1n, 'agent'),
    );
    expect(models?.allows('anthropic/claude-5')).toBe(true);
  });
});

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { effectivePolicies } from '../../../src/policy/effective-policies.ts';

const path = join(mkdtempSync(join(tmpdir(), 'sluice-policies-')), 'config.toml');

function load(text: string) {
  writeFileSync(path, text);
  return loadConfig({ path, env: {} }).config;
}

/** Without the file's name. */
function problem(text: string): string {
  try {
    load(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${path}: `, '');
    throw error;
  }
  throw new Error('It was accepted.');
}

const FULL = `[routes.chat]
targets = ["openai/gpt-4o"]
[policies.default]
models = ["chat", "openai/gpt-4o"]
[policies.agents]
models = ["claude/*"]
[policies.all]
models = []
rpm = 60
guards = ["pii", "cards"]
mode = "warn"
[keys.7]
name = "nightly crawler"
policy = "all"
class = "agent"
expires = 2027-01-31T01:00:00+01:00
[keys.8]
expires = "2027-01-31T00:00:00Z"
[tenants.42]
policy = "agents"
[guards.cards]
kind = "pii"
action = "block"
phases = ["request"]
detect = ["iban", "card"]
[guards.injection]
threshold = 0.75
[classes]
developer = "all"
[limits]
tpm = 1000000
[limits.models."openai/gpt-4o"]
rpm = 500
[limits.providers.groq]
max_in_flight = 8
[limits.classes.agent]
rpm = 100
`;

describe('policies of a configuration', () => {
  it('are read, printed, and read again as they were', () => {
    const config = load(FULL);
    expect(config.policy.keys.get('7')).toEqual({
      name: 'nightly crawler',
      tenant: null,
      policy: 'all',
      keyClass: 'agent',
      expiresMs: Date.UTC(2027, 0, 31),
    });
    expect(config.policy.keys.get('8')?.expiresMs).toBe(Date.UTC(2027, 0, 31));
    expect(load(printConfig(config)).policy).toEqual(config.policy);
    expect(load(printConfig(config)).guards).toEqual(config.guards);
    expect(config.guards.get('injection')).toMatchObject({
      action: 'flag',
      phases: ['request'],
      onError: 'pass',
      made: { kind: 'injection', threshold: 0.75 },
    });
  });

  it('are told value by value, each with what says it', () => {
    const lines = effectivePolicies(load(FULL).policy).map((line) => line.replace(/ +/g, ' '));
    const of = (title: string) => lines.slice(lines.indexOf(title) + 1).slice(0, 4);
    expect(of('key 7 (nightly crawler), class agent')).toEqual([
      ' policy all # [keys.7]',
      ' class agent # [keys.7]',
      ' expires 2027-01-31T00:00:00.000Z # [keys.7]',
      ' models all # [policies.all], by [keys.7]',
    ]);
    const key7 = lines.slice(lines.indexOf('key 7 (nightly crawler), class agent') + 5);
    expect(key7.slice(0, 4)).toEqual([
      ' rpm 60 # [policies.all], by [keys.7]; each key by itself',
      ' tpm 0 # nothing says otherwise',
      ' max_in_flight 0 # nothing says otherwise',
      ' mode warn # [policies.all], by [keys.7]; each key by itself',
    ]);
    expect(of('tenant 42, class developer')[3]).toBe(
      ' models claude/* # [policies.agents], by [tenants.42]',
    );
    expect(of('every other key, class developer')[3]).toBe(
      ' models all # [policies.all], by [classes] developer',
    );
    expect(of('every other key, class agent')[3]).toBe(
      ' models chat, openai/gpt-4o # [policies.default], by every key',
    );
  });

  const REFUSED: readonly (readonly [what: string, text: string, said: string])[] = [
    [
      'an unknown policy of a key',
      '[policies.a]\n[keys.7]\npolicy = "b"\n',
      'keys.7.policy: found "b", expected one of a',
    ],
    [
      'an unknown policy of a tenant, where there is none',
      '[tenants.7]\npolicy = "b"\n',
      'tenants.7.policy: found "b", expected a policy, and there is no [policies.NAME]',
    ],
    [
      'an unknown policy of a class',
      '[policies.a]\n[classes]\nagent = "b"\n',
      'classes.agent: found "b", expected one of a',
    ],
    [
      'K2: an unknown class',
      '[policies.a]\n[classes]\nagents = "a"\n',
      'classes.agents: found "a", expected "developer", "application", "agent"',
    ],
    [
      'K2: an unknown class of a key',
      '[keys.7]\nclass = "robot"\n',
      'keys.7.class: found "robot", expected "developer", "application", "agent"',
    ],
    [
      'an id that no key has',
      '[keys.07]\nname = "x"\n',
      'keys.07: found an id that is none, expected an id as it was minted: a decimal number from 0 to 18446744073709551615',
    ],
    [
      'an id beyond u64',
      '[tenants.18446744073709551616]\nname = "x"\n',
      'tenants.18446744073709551616: found an id that is none, expected an id as it was minted: a decimal number from 0 to 18446744073709551615',
    ],
    [
      'a key in the place of an id, which is not repeated,',
      '[keys.sk-live-aaaaaaaaaaaaaaaaaaaaaaaa]\nname = "x"\n',
      'keys.***: found an id that is none, expected an id as it was minted: a decimal number from 0 to 18446744073709551615',
    ],
    [
      'a route that is none',
      '[policies.a]\nmodels = ["chat"]\n',
      'policies.a.models[0]: found "chat", expected a route, provider/model, or provider/beginning* with a provider of this configuration or its alias',
    ],
    [
      'a provider that is none',
      '[policies.a]\nmodels = ["groq/*", "opanai/*"]\n',
      'policies.a.models[1]: found "opanai/*", expected a route, provider/model, or provider/beginning* with a provider of this configuration or its alias',
    ],
    [
      'a star in the middle',
      '[policies.a]\nmodels = ["groq/*-mini"]\n',
      'policies.a.models[0]: found "groq/*-mini", expected a route, provider/model, or provider/beginning* with a provider of this configuration or its alias',
    ],
    [
      'a route of which no target is allowed',
      '[routes.chat]\ntargets = ["inner"]\n[routes.inner]\ntargets = ["openai/a"]\nfallbacks = ["claude/b"]\n[policies.a]\nmodels = ["chat"]\n',
      'policies.a.models[0]: found the route "chat", and none of its targets, expected one of them beside it: openai/a, claude/b',
    ],
    [
      'a time without its offset',
      '[keys.7]\nexpires = 2027-01-31T00:00:00\n',
      'keys.7.expires: found a date, expected a time with its offset, like 2027-01-31T00:00:00Z',
    ],
    [
      'a date alone',
      '[keys.7]\nexpires = "2027-01-31"\n',
      'keys.7.expires: found "2027-01-31", expected a time with its offset, like 2027-01-31T00:00:00Z',
    ],
    [
      'a member that comes later',
      '[policies.a]\nauto = "chat"\n',
      'policies.a.auto: found "chat", expected no such line: it comes later, and nothing would enforce it now',
    ],
    [
      'a guard that is none',
      '[policies.a]\nguards = ["pii", "pi"]\n',
      'policies.a.guards[1]: found "pi", expected one of pii, injection',
    ],
    [
      'a guard of which nobody says what it is made of',
      '[guards.mine]\naction = "flag"\n',
      'guards.mine: found a table, expected kind = one of pii, injection, module, presidio, moderation, logger, or such a name',
    ],
    [
      'an action that no guard knows',
      '[guards.pii]\naction = "hide"\n',
      'guards.pii.action: found "hide", expected "mask", "redact", "block", "flag"',
    ],
    [
      'a member that no guard has',
      '[guards.pii]\nacton = "mask"\n',
      'guards.pii.acton: found an unknown key, expected action (nearest)',
    ],
    [
      'a threshold of nothing',
      '[guards.injection]\nthreshold = 0\n',
      'guards.injection.threshold: found 0, expected a number from 0.01 to 1',
    ],
    [
      'orders that are masked',
      '[guards.injection]\naction = "mask"\n',
      'guards.injection.action: found "mask", expected "flag", "redact", "block"',
    ],
    [
      'what another kind of guard is told',
      '[guards.pii]\nthreshold = 0.5\n',
      'guards.pii.threshold: found 0.5, expected no such line: a guard of kind "pii" has detect',
    ],
    [
      'a budget below nothing',
      '[policies.a]\nbudget_usd_per_day = -1\n',
      'policies.a.budget_usd_per_day: found -1, expected a budget in USD: 0 (off), or a number or decimal text up to 1000000, with 9 decimals at most',
    ],
    [
      'a limit finer than a nano-dollar',
      '[policies.a]\nmax_cost_per_request_usd = "0.0000000001"\n',
      'policies.a.max_cost_per_request_usd: found "0.0000000001", expected a limit in USD: 0 (off), or a number or decimal text up to 1000000, with 9 decimals at most',
    ],
    [
      'a zone that is none',
      'budget_time_zone = "Mars/Olympus"\n',
      'budget_time_zone: found "Mars/Olympus", expected a time zone like "UTC" or "Europe/Berlin"',
    ],
    [
      'a member that nobody knows',
      '[policies.a]\nmodel = []\n',
      'policies.a.model: found an unknown key, expected models (nearest)',
    ],
    [
      'a negative number',
      '[policies.a]\nrpm = -1\n',
      'policies.a.rpm: found -1, expected requests a minute: 0 (off), or a whole number up to 1000000000',
    ],
    [
      'a negative limit of a class',
      '[limits.classes.agent]\ntpm = -5\n',
      'limits.classes.agent.tpm: found -5, expected tokens a minute: 0 (off), or a whole number up to 1000000000',
    ],
    [
      'a limit of a class that is none',
      '[limits.classes.agents]\ntpm = 5\n',
      'limits.classes.agents: found an unknown key, expected agent (nearest)',
    ],
    [
      'a share of nothing',
      '[limits.shares]\nagent = 0\n',
      'limits.shares.agent: found 0, expected a share above 0, up to 1',
    ],
    [
      'a share of a class that is none',
      '[limits.shares]\nrobot = 0.5\n',
      'limits.shares.robot: found an unknown key, expected agent (nearest)',
    ],
    [
      'more identical requests than are counted',
      '[policies.a]\nidentical_rpm = 1001\n',
      'policies.a.identical_rpm: found 1001, expected identical requests a minute: 0 (off), or a whole number up to 1000',
    ],
    [
      'a cache that guesses',
      '[policies.a]\ncache = "semantic"\n',
      'policies.a.cache: found "semantic", expected "off", "exact"',
    ],
    [
      'answers that nobody may be told',
      '[policies.a]\ncache_ttl_secs = 0\n',
      'policies.a.cache_ttl_secs: found 0, expected seconds: a whole number from 1 to 2678400',
    ],
    [
      'a cache without room',
      'cache_max_mb = 0\n',
      'cache_max_mb: found 0, expected MiB: a whole number from 1 to 65536',
    ],
    [
      'a way out of a budget that leads nowhere',
      '[policies.a]\non_exceeded = "smal"\n',
      'policies.a.on_exceeded: found "smal", expected "refuse", a route, or provider/model with a provider of this configuration or its alias',
    ],
    [
      'an estimate that is none',
      '[policies.a]\nbudget_estimate = "exact"\n',
      'policies.a.budget_estimate: found "exact", expected "likely" or "strict"',
    ],
    [
      'a limit of a provider that is none',
      '[limits.providers.opanai]\ntpm = 5\n',
      'limits.providers.opanai: found such a name, expected one of ',
    ],
    [
      'a limit of a model by an alias, which facts never name,',
      '[limits.models."claude/x"]\ntpm = 5\n',
      'limits.models.claude/x: found such a name, expected anthropic/x',
    ],
    [
      'a limit of a model twice, in another case,',
      '[limits.models."openai/x"]\ntpm = 5\n[limits.models."openai/X"]\ntpm = 6\n',
      'limits.models.openai/X: found another one, expected one row for a model, whatever its case: "openai/x" is there already',
    ],
    [
      'a policy that is no table',
      '[policies]\na = "chat"\n',
      'policies.a: found "chat", expected a table like [policies.NAME]',
    ],
  ];
  it.each(REFUSED)('%s stops the load', (_, text, said) => {
    const told = problem(text);
    if (said.endsWith('one of ')) expect(told).toContain(said);
    else expect(told).toBe(said);
  });

  it('budgets are whole nano-dollars, written as numbers or as texts', () => {
    const text =
      '[policies.a]\nbudget_usd_per_day = 0.1\nbudget_usd_per_month = "300.000000001"\nmax_cost_per_request_usd = 0\n';
    expect(load(text).policy.policies.get('a')).toMatchObject({
      budgetPerDay: 100_000_000,
      budgetPerMonth: 300_000_000_001,
      maxCostPerRequest: 0,
      unpriced: null,
    });
  });

  it('what is said of the cache is told with its origin where it is on, and printed so that it reads back', () => {
    const text =
      'cache_max_mb = 64\n[policies.a]\ncache = "exact"\ncache_scope = "key"\ncache_ttl_secs = 60\n[policies.b]\ncache_match = "canonical"\n[classes]\nagent = "a"\ndeveloper = "b"\n';
    const config = load(text);
    expect(config.cacheMaxBytes).toBe(64 * 1_048_576);
    expect(load(printConfig(config)).policy).toEqual(config.policy);
    const told = effectivePolicies(config.policy).join('\n').replace(/ +/g, ' ');
    expect(told).toContain('cache_scope key # [policies.a], by [classes] agent');
    expect(told).toContain('cache_ttl_secs 60 # [policies.a], by [classes] agent');
    expect(told).not.toContain('cache_match');
  });

  it('shares and the loop guard are read, told with their origin, and printed so that they read back', () => {
    const text =
      '[policies.a]\nidentical_rpm = 20\n[classes]\nagent = "a"\n[limits.shares]\nagent = 0.5\ndeveloper = 1\n';
    const config = load(text);
    expect(config.policy.limits.shares).toEqual(new Map([['agent', 0.5]]));
    expect(config.policy.policies.get('a')?.identicalRpm).toBe(20);
    const printed = printConfig(config);
    expect(load(printed).policy).toEqual(config.policy);
    const told = effectivePolicies(config.policy).map((line) => line.trim().replaceAll(/ +/g, ' '));
    expect(told).toContain(
      'identical_rpm 20 # [policies.a], by [classes] agent; each key by itself',
    );
    expect(told).toContain('share 0.5 of all that is shared, class agent # [limits.shares]');
  });

  it('an allowed route with one allowed target, reached through another and by an alias, is taken', () => {
    const text =
      '[routes.chat]\ntargets = ["inner"]\n[routes.inner]\ntargets = ["openai/a"]\nfallbacks = ["claude/b"]\n[policies.a]\nmodels = ["chat", "anthropic/*"]\n';
    expect(load(text).policy.policies.get('a')?.models).toEqual(['chat', 'anthropic/*']);
  });
});

import { describe, expect, it } from 'vitest';
import { idWords } from '../../../src/keys/virtual-key.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { type Provider, providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';
import { IDS_MAX, StateClaim } from '../../../src/stored/state-claim.ts';
import { StateHomes } from '../../../src/stored/state-homes.ts';
import { createStateTable, SECRET_BYTES, StoredState } from '../../../src/stored/state-table.ts';

const providers = providerTable([]);
const named = (name: string): Provider => {
  const found = providers.find((provider) => provider.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};
const OPENAI = named('openai');
const XAI = named('xai');
const OWN = idWords(42n);
const OTHER = idWords(43n);

function house(
  keys: Readonly<Record<string, readonly string[]>>,
  table = new StoredState(createStateTable(new Uint8Array(SECRET_BYTES))),
  allows = false,
) {
  const secrets = Object.entries(keys).map(
    ([name, all]) => [name, all.map((key) => new Secret(key))] as const,
  );
  const poolKeys = new PoolKeys(providers, new Map(secrets), 0);
  return { table, poolKeys, homes: new StateHomes(table, providers, poolKeys, allows, null) };
}
const KEYS = { openai: ['sk-a', 'sk-b'], xai: ['sk-x'] };

function claimOf(homes: StateHomes, body: unknown, provider: Provider | null = null): StateClaim {
  const claim = new StateClaim(homes, OWN, provider);
  claim.push(Buffer.from(JSON.stringify(body)));
  return claim;
}

describe('what a request names of what is stored', () => {
  const { homes, poolKeys } = house(KEYS);
  const [a, b] = poolKeys.of(OPENAI);
  const [x] = poolKeys.of(XAI);
  if (a === undefined || b === undefined || x === undefined) throw new Error('no keys');
  const at = (provider: Provider, key: typeof a) => ({ provider, key });
  homes.remember('resp_a', OWN, at(OPENAI, a));
  homes.remember('file_a', OWN, at(OPENAI, a));
  homes.remember('file_b', OWN, at(OPENAI, b));
  homes.remember('resp_theirs', OTHER, at(OPENAI, a));
  homes.remember('1', OWN, at(OPENAI, b));
  homes.remember('1', OWN, at(XAI, x));
  const file = (id: string) => ({ input: [{ content: [{ type: 'input_file', file_id: id }] }] });

  it('decides where it may go, and where not', () => {
    const claim = claimOf(homes, { previous_response_id: 'resp_a', ...file('file_a') });
    expect(claim.fault).toBeNull();
    expect(claim.mayGoTo(OPENAI, a)).toBe(true);
    for (const [provider, key] of [
      [OPENAI, b],
      [XAI, x],
    ] as const)
      expect(claim.faultAt(provider, key)?.code).toBe('state_elsewhere');
    expect(claimOf(homes, { input: 'x' }).mayGoTo(XAI, x)).toBe(true);
  });

  it.each([
    ['resp_theirs'],
    ['resp_none'],
    ['resp_a '],
    ['RESP_A'],
    ['resp_a\u0000'],
    ['resp_a/../x'],
    ['%72esp_a'],
    ['x'.repeat(5_000)],
    ['ｒesp_a'],
    ['\ud800'],
  ])('is 404 for %j, beside an own one too', (id) => {
    expect(claimOf(homes, { previous_response_id: id }).fault?.code).toBe('state_not_found');
    expect(claimOf(homes, { previous_response_id: 'resp_a', ...file(id) }).fault?.code).toBe(
      'state_not_found',
    );
    expect(claimOf(homes, { ...file(id), previous_response_id: 'resp_a' }).fault?.code).toBe(
      'state_not_found',
    );
  });

  it("is told the same of a stranger's id and of nobody's", () => {
    const told = (id: string) =>
      JSON.stringify(claimOf(homes, { conversation: id }).fault).replace(id, 'ID');
    expect(told('resp_theirs')).toBe(told('resp_none'));
  });

  it('is nowhere when two accounts have a part of it each', () => {
    const claim = claimOf(homes, { previous_response_id: 'resp_a', ...file('file_b') });
    expect(claim.fault?.code).toBe('state_elsewhere');
  });

  it('of an id that two providers issued is at either, until another id or the path says which', () => {
    const both = claimOf(homes, { previous_response_id: '1' });
    expect([both.mayGoTo(OPENAI, b), both.mayGoTo(XAI, x), both.mayGoTo(OPENAI, a)]).toEqual([
      true,
      true,
      false,
    ]);
    const one = claimOf(homes, { previous_response_id: '1', ...file('file_b') });
    expect([one.mayGoTo(OPENAI, b), one.mayGoTo(XAI, x)]).toEqual([true, false]);
    expect(claimOf(homes, { previous_response_id: '1' }, XAI).homes).toEqual([
      { provider: XAI, key: x },
    ]);
    expect(claimOf(homes, { previous_response_id: 'resp_a' }, XAI).fault?.code).toBe(
      'state_not_found',
    );
  });

  it('says whose models sealed what it holds, by its place, or by the prefix of what came over another wire', () => {
    const long = 'x'.repeat(5_000);
    const message = (block: object) => ({ messages: [{ content: [block] }] });
    const sealedBy = (body: unknown) => [...claimOf(homes, body).sealedBy];
    expect(sealedBy({ input: 'x' })).toEqual([]);
    expect(sealedBy(message({ type: 'thinking', signature: '' }))).toEqual([]);
    expect(sealedBy({ input: [{ encrypted_content: long }] })).toEqual(['openai']);
    expect(sealedBy(message({ signature: long }))).toEqual(['anthropic']);
    expect(sealedBy(message({ signature: `sluice.gemini.${long}` }))).toEqual(['gemini']);
    expect(sealedBy({ input: [{ encrypted_content: 'sluice.anthropic.x' }] })).toEqual([
      'anthropic',
    ]);
    const google = { extra_content: { google: { thought_signature: 'C' } } };
    expect(
      sealedBy({ messages: [{ tool_calls: [google], thinking_blocks: [{ data: 'E' }] }] }),
    ).toEqual(['gemini', 'anthropic']);
  });

  it('is refused where it is more than any provider takes, and looked up no further', () => {
    const ids = (count: number) => ({ file_ids: Array.from({ length: count }, () => 'file_a') });
    expect(claimOf(homes, ids(IDS_MAX)).fault).toBeNull();
    let lookUps = 0;
    const counted = Object.assign(Object.create(homes) as StateHomes, {
      find: (...asked: Parameters<StateHomes['find']>) => {
        lookUps++;
        return homes.find(...asked);
      },
    });
    expect(claimOf(counted, ids(100_000)).fault?.code).toBe('invalid_body');
    expect(lookUps).toBe(IDS_MAX);
  });

  it('is nothing of what is null, empty or no text', () => {
    for (const id of [null, '', 7, {}, [], [null]])
      expect(claimOf(homes, { previous_response_id: id, conversation: id }).fault).toBeNull();
  });
});

describe('stored state and a configuration that changed', () => {
  it('goes to the first key where the key that made it is gone, and nowhere where its provider is', () => {
    const before = house(KEYS);
    const [, b] = before.poolKeys.of(OPENAI);
    const [x] = before.poolKeys.of(XAI);
    if (b === undefined || x === undefined) throw new Error('no keys');
    before.homes.remember('resp_b', OWN, { provider: OPENAI, key: b });
    before.homes.remember('resp_x', OWN, { provider: XAI, key: x });
    const after = house({ openai: ['sk-new', 'sk-a'] }, before.table);
    const [fresh] = after.poolKeys.of(OPENAI);
    expect(after.homes.find('resp_b', OWN)).toEqual([{ provider: OPENAI, key: fresh }]);
    expect(after.homes.find('resp_x', OWN)).toEqual([]);
    // In another order the same key is found.
    const turned = house({ openai: ['sk-b', 'sk-a'] }, before.table);
    expect(turned.homes.find('resp_b', OWN)[0]?.key).toBe(turned.poolKeys.of(OPENAI)[0]);
  });

  it('lets ids of nobody through where that is allowed, not those of others', () => {
    const { homes, poolKeys } = house(KEYS, undefined, true);
    const [a] = poolKeys.of(OPENAI);
    if (a === undefined) throw new Error('no keys');
    homes.remember('resp_own', OWN, { provider: OPENAI, key: a });
    const claim = claimOf(homes, { previous_response_id: 'resp_none' });
    expect([claim.fault, claim.homes]).toEqual([null, null]);
    expect(claimOf(homes, { previous_response_id: 'resp_own' }).homes).toHaveLength(1);
    homes.remember('resp_theirs', OTHER, { provider: OPENAI, key: a });
    expect(claimOf(homes, { previous_response_id: 'resp_theirs' }).fault?.code).toBe(
      'state_not_found',
    );
  });
});

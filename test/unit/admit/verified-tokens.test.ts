import { describe, expect, it } from 'vitest';
import { createTokenTable } from '../../../src/admit/token-table.ts';
import { VerifiedTokens } from '../../../src/admit/verified-tokens.ts';
import { mintToken, publicKeyOf } from '../../../src/keys/minting.ts';
import { signingKeys } from '../../../src/keys/signing-keys.ts';

const SECRET = new Uint8Array(32).fill(1);
const OTHER_SECRET = new Uint8Array(32).fill(2);
const KEYS = signingKeys(new Map([[7, publicKeyOf(SECRET)]]));

const mint = (tenant: number, secret = SECRET, kid = 7) =>
  mintToken(secret, { kid, tenantId: BigInt(tenant), vpcId: 1n, keyId: null });

/** Counts the signature checks, and allows so many. */
class Budget {
  asked = 0;
  left: number;

  constructor(left = Number.POSITIVE_INFINITY) {
    this.left = left;
  }

  admitVerify(): number {
    this.asked++;
    return this.left-- > 0 ? 0 : 3;
  }
}

describe('VerifiedTokens', () => {
  it('a known token costs no second check', () => {
    const budget = new Budget();
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable());
    for (let i = 0; i < 5; i++) expect(tokens.check(mint(1))).toMatchObject({ tenantText: '1' });
    expect(budget.asked).toBe(1);
  });

  it('the class is known of a token that another worker has verified, and of one that is known here', () => {
    const node = createTokenTable();
    const claims = { kid: 7, tenantId: 1n, vpcId: 1n, keyId: 1n } as const;
    for (const keyClass of ['developer', 'application', 'agent'] as const) {
      const token = mintToken(SECRET, { ...claims, keyClass });
      const first = new VerifiedTokens(KEYS, new Budget(1), node);
      const second = new VerifiedTokens(KEYS, new Budget(0), node);
      for (const tokens of [first, first, second, second])
        expect(tokens.check(token)).toMatchObject({ keyClass });
      expect(second.known(token)).toMatchObject({ keyClass });
    }
  });

  it('a token of another secret is a bad signature, and its repeats cost no check either', () => {
    const budget = new Budget();
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable());
    const refusal = { code: 'bad_key', fault: 'bad_signature' };
    for (let i = 0; i < 5; i++) {
      expect(tokens.check(mint(1, OTHER_SECRET))).toMatchObject(refusal);
    }
    expect(budget.asked).toBe(1);
    expect(tokens.size).toBe(0);
  });

  it('grammar and kid are judged before any cryptography', () => {
    const budget = new Budget(0);
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable());
    expect(tokens.check('bai_v1.7.x.y')).toMatchObject({ code: 'bad_key', fault: 'malformed' });
    expect(tokens.check(mint(1, SECRET, 8))).toMatchObject({
      code: 'bad_key',
      fault: 'unknown_kid',
    });
    expect(budget.asked).toBe(0);
  });

  it('without budget new tokens wait, and known ones do not notice', () => {
    const budget = new Budget(1);
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable());
    tokens.check(mint(1));
    expect(tokens.check(mint(2))).toEqual({
      code: 'rate_limited',
      fault: 'verify_budget',
      retryAfterSeconds: 3,
    });
    expect(tokens.check(mint(1))).toMatchObject({ tenantText: '1' });
    budget.left = 1;
    expect(tokens.check(mint(2))).toMatchObject({ tenantText: '2' });
  });

  it('keeps at most so many, and those that are in use', () => {
    const budget = new Budget();
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable(), 8);
    for (let i = 0; i < 100; i++) {
      tokens.check(mint(0));
      tokens.check(mint(i));
      expect(tokens.size).toBeLessThanOrEqual(8);
    }
    expect(budget.asked).toBe(100);
  });

  it('refused ones never push out a verified one', () => {
    const budget = new Budget();
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable(), 8, 4);
    tokens.check(mint(1));
    for (let i = 0; i < 50; i++) tokens.check(mint(i, OTHER_SECRET));
    const { asked } = budget;
    expect(tokens.check(mint(1))).toMatchObject({ tenantText: '1' });
    expect(budget.asked).toBe(asked);
  });

  it('new signing keys: what a key that is gone or changed had verified is checked again', () => {
    const tokens = new VerifiedTokens(KEYS, new Budget(), createTokenTable());
    tokens.check(mint(1));
    tokens.replaceKeys(signingKeys(new Map([[7, publicKeyOf(OTHER_SECRET)]])));
    expect(tokens.size).toBe(0);
    expect(tokens.check(mint(1))).toMatchObject({ fault: 'bad_signature' });
    expect(tokens.check(mint(1, OTHER_SECRET))).toMatchObject({ tenantText: '1' });
    tokens.replaceKeys(new Map());
    expect([tokens.size, tokens.check(mint(1, OTHER_SECRET))]).toMatchObject([
      0,
      { fault: 'unknown_kid' },
    ]);
  });

  it('a key that stays keeps what it has verified, whatever comes beside it', () => {
    const budget = new Budget();
    const tokens = new VerifiedTokens(KEYS, budget, createTokenTable());
    tokens.check(mint(1));
    tokens.replaceKeys(
      signingKeys(
        new Map([
          [7, publicKeyOf(SECRET)],
          [8, publicKeyOf(OTHER_SECRET)],
        ]),
      ),
    );
    expect(tokens.check(mint(1))).toMatchObject({ tenantText: '1' });
    expect(budget.asked).toBe(1);
    expect(tokens.check(mint(1, OTHER_SECRET, 8))).toMatchObject({ kid: 8 });
  });

  it('a token that another worker of the node has verified costs no check here', () => {
    const node = createTokenTable();
    new VerifiedTokens(KEYS, new Budget(), node).check(mint(1));
    const spent = new Budget(0);
    const other = new VerifiedTokens(KEYS, spent, node);
    expect(other.check(mint(1))).toMatchObject({ tenantText: '1' });
    expect(other.check(mint(2))).toMatchObject({ fault: 'verify_budget' });
    expect(spent.asked).toBe(1);
  });

  it('what another worker verified is worth nothing under another key of the same kid, or without it', () => {
    const node = createTokenTable();
    new VerifiedTokens(KEYS, new Budget(), node).check(mint(1));
    const swapped = signingKeys(new Map([[7, publicKeyOf(OTHER_SECRET)]]));
    const late = new VerifiedTokens(swapped, new Budget(), node);
    expect(late.check(mint(1))).toMatchObject({ fault: 'bad_signature' });
    late.replaceKeys(new Map());
    expect(late.check(mint(1))).toMatchObject({ fault: 'unknown_kid' });
  });

  it('a forged token is never told to the node', () => {
    const node = createTokenTable();
    new VerifiedTokens(KEYS, new Budget(), node).check(mint(1, OTHER_SECRET));
    const other = new VerifiedTokens(KEYS, new Budget(), node);
    expect(other.check(mint(1, OTHER_SECRET))).toMatchObject({ fault: 'bad_signature' });
  });

  it('without signing keys every managed token is refused', () => {
    const tokens = new VerifiedTokens(new Map(), new Budget(), createTokenTable());
    expect(tokens.check(mint(1))).toMatchObject({ code: 'bad_key', fault: 'unknown_kid' });
  });
});

import { describe, expect, it } from 'vitest';
import { classify } from '../../../src/upstream/failure.ts';

describe('failures', () => {
  const coded = (code: string): Error => Object.assign(new Error(code), { code });
  it.each([
    ['ECONNREFUSED', false, 'upstream_unreachable'],
    ['ENOTFOUND', false, 'upstream_unreachable'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', false, 'upstream_unreachable'],
    ['ETIMEDOUT', false, 'upstream_timeout'],
    ['ETIMEDOUT', true, 'upstream_unreachable'],
    ['ECONNRESET', true, 'upstream_unreachable'],
    ['EMFILE', false, 'overloaded'],
  ])('%s maps to its row (connected: %s)', (code, connected, row) => {
    expect(classify(coded(code), connected).rejection).toBe(row);
  });

  it('a bug of ours is not blamed on the provider, and all addresses failing is one failure', () => {
    expect(classify(new TypeError('x'), true).rejection).toBe('internal_error');
    expect(classify(new AggregateError([coded('ECONNREFUSED')]), false)).toMatchObject({
      kind: 'connect',
      code: 'ECONNREFUSED',
    });
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelPermission } from '../../../src/policy/model-permission.ts';

describe('ModelPermission', () => {
  it('allows names that are written, and what begins as an entry with a star does', () => {
    const permission = new ModelPermission(['chat', 'openai/gpt-4o', 'groq/*', 'xai/grok-4*']);
    for (const name of ['chat', 'openai/gpt-4o', 'groq/a/b', 'xai/grok-4', 'xai/grok-4-mini'])
      expect([name, permission.allows(name)]).toEqual([name, true]);
    for (const name of ['cha', 'chat2', 'openai/gpt-4o-mini', 'gpt-4o', 'groq', 'xai/grok-3', ''])
      expect([name, permission.allows(name)]).toEqual([name, false]);
  });

  it('agrees with a pattern made of the same entries, whatever they are', () => {
    const name = fc.stringMatching(/^[ab]\/[ab.]{1,4}$/);
    const entry = fc.tuple(name, fc.boolean()).map(([text, open]) => (open ? `${text}*` : text));
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 6 }), name, (entries, asked) => {
        const pattern = entries.map((text) =>
          text.replaceAll('.', '\\.').replace(/\*$/, '.*').replaceAll('/', '\\/'),
        );
        const expected = new RegExp(`^(?:${pattern.join('|')})$`).test(asked);
        expect(new ModelPermission(entries).allows(asked)).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('shows no more entries than somebody reads', () => {
    const entries = Array.from({ length: 20 }, (_, at) => `p/${at}`);
    expect(new ModelPermission(entries).shown.split(', ')).toHaveLength(9);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyPattern, KeyWatch } from '../../../src/wire/key-watch.ts';

const KEY = 'sk-proj-Zk3yT9_wQ1-mN8vB2xC5rD7eF0gH4jL6pS_aUoI1uYtReWqAzXsDcVfBgNhMjK9wxyz';
/** Of twenty characters, as small gateways make theirs. */
const SHORT = 'sk-pool-0a1b2c3d4e5f';

function watched(key: string, pieces: readonly (string | Buffer)[]): readonly string[] {
  const pattern = KeyPattern.of(key);
  if (pattern === null) throw new Error('too short');
  const out: string[] = [];
  const watch = new KeyWatch(pattern, {
    push: (piece) => {
      out.push(piece.toString('latin1'));
      return true;
    },
  });
  for (const piece of pieces) {
    // Lent: it is overwritten behind the call.
    const lent = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
    watch.push(lent);
    lent.fill(0x21);
  }
  watch.end();
  return out;
}

/** @param cuts where the next piece begins, of any order */
function cutAt(text: string, cuts: readonly number[]): readonly string[] {
  const at = [...new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length])].sort(
    (a, b) => a - b,
  );
  return at.slice(1).map((to, n) => text.slice(at[n], to));
}

function expectHidden(key: string, shown: string, text: string): void {
  expect(shown.length).toBe(text.length);
  const small = shown.toLowerCase();
  const part = Math.min(16, key.length);
  for (let at = 0; at + part <= key.length; at++)
    expect(small).not.toContain(key.slice(at, at + part).toLowerCase());
}

describe('a key in an answer', () => {
  it.each([
    ['whole', KEY],
    ['in capitals', KEY.toUpperCase()],
    ['its first sixteen characters', KEY.slice(0, 16)],
    ['its last sixteen characters', KEY.slice(-16)],
    ['its middle', KEY.slice(21, 44)],
    ['twice', `${KEY}${KEY}`],
    ['behind its own beginning', `${KEY.slice(0, 9)}${KEY}`],
  ])('%s is covered, wherever it is cut', (_what, quote) => {
    const text = `{"error":{"message":"no: ${quote}, see x"}}`;
    for (let cut = 0; cut <= text.length; cut++) {
      const shown = watched(KEY, [text.slice(0, cut), text.slice(cut)]).join('');
      expectHidden(KEY, shown, text);
      expect(shown).toMatch(/^\{"error":\{"message":"no: .*\*{13,}, see x"\}\}$/);
    }
    expectHidden(KEY, watched(KEY, [...text]).join(''), text);
    expectHidden(KEY, watched(KEY, text.match(/.{1,2}/g) ?? []).join(''), text);
  });

  it('of twenty characters, and of twelve, is covered in any cuts', () => {
    for (const key of [SHORT, SHORT.slice(0, 12), SHORT.slice(0, 15)]) {
      fc.assert(
        fc.property(
          fc.string(),
          fc.string(),
          fc.array(fc.nat()),
          fc.boolean(),
          (before, behind, cuts, isLast) => {
            const text = latin1(`${before}${key}${isLast ? '' : behind}`);
            const shown = watched(key, cutAt(text, cuts)).join('');
            expectHidden(key, shown, text);
          },
        ),
      );
    }
  });

  it('is covered beside parts of itself in any order', () => {
    const part = fc
      .tuple(fc.nat(KEY.length), fc.nat(KEY.length))
      .map(([a, b]) => KEY.slice(Math.min(a, b), Math.max(a, b)));
    fc.assert(
      fc.property(fc.array(part), fc.array(fc.nat()), (parts, cuts) => {
        const text = `${parts.join('')}${KEY}${parts.join('.')}`;
        expectHidden(KEY, watched(KEY, cutAt(text, cuts)).join(''), text);
      }),
    );
  });
});

it('a text holds a key where sixteen characters of it stand in a row, in any case', () => {
  const pattern = KeyPattern.of(KEY);
  fc.assert(
    fc.property(
      fc.string(),
      fc.nat(KEY.length),
      fc.nat(KEY.length),
      fc.boolean(),
      fc.string(),
      (before, from, to, isCapital, behind) => {
        const part = KEY.slice(Math.min(from, to), Math.max(from, to));
        const text = `${latin1(before)} ${isCapital ? part.toUpperCase() : part} ${latin1(behind)}`;
        expect(pattern?.isIn(text)).toBe(part.length >= 16);
      },
    ),
  );
});

describe('what is no key', () => {
  it('passes byte for byte, at once but for what may be a beginning', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat()), (bytes, cuts) => {
        const text = Buffer.from(bytes).toString('latin1');
        expect(watched(KEY, cutAt(text, cuts)).join('')).toBe(text);
      }),
    );
    expect(watched(KEY, ['data: {"a":"sk-proj-', '..."}\n\n', 'sk-'])).toEqual([
      'data: {"a":"',
      'sk-proj-..."}\n\n',
      'sk-',
    ]);
  });

  it('passes with parts of fifteen characters, which any vendor\u2019s keys may begin with', () => {
    const text = `${KEY.slice(0, 15)} ${KEY.slice(-15)} ${KEY.slice(30, 45)}`;
    for (let cut = 0; cut <= text.length; cut++)
      expect(watched(KEY, [text.slice(0, cut), text.slice(cut)]).join('')).toBe(text);
  });

  it('is never held longer than the key is', () => {
    for (const text of [KEY.slice(0, -1).repeat(3), 'sk-'.repeat(99), 'sk-p'.repeat(99), KEY]) {
      let sent = 0;
      let got = 0;
      const pattern = KeyPattern.of(KEY);
      if (pattern === null) throw new Error('too short');
      const watch = new KeyWatch(pattern, {
        push: (piece) => {
          got += piece.length;
          return true;
        },
      });
      for (const one of text) {
        watch.push(Buffer.from(one));
        sent++;
        expect(sent - got).toBeLessThanOrEqual(KEY.length);
      }
      watch.end();
      expect(got).toBe(sent);
    }
  });

  it('is a word, which a short key may be', () => {
    expect(KeyPattern.of('ollama')).toBeNull();
    expect(KeyPattern.of('EMPTY')).toBeNull();
  });
});

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  KEPT_MAX_BYTES,
  PREFIX_MAX_BYTES,
  PrefixWatch,
  SESSIONS_MAX,
} from '../../../src/plan/prefix-watch.ts';
import { promptPrefix } from '../../../src/wire/conversation.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { RequestOutline } from '../../../src/wire/request-outline.ts';

const scanner = loadJsonScanner();
const LIFE_MS = 300_000;
const TOKENS = 2_000;

function watched(
  lossPico: (tokens: number) => number | null = (tokens) => tokens,
  prefixesForgotten = () => {},
) {
  const clock = { ms: 0 };
  const watch = new PrefixWatch({ prefixesForgotten }, () => clock.ms);
  const begin = (body: string, id = 1) => {
    const outline = RequestOutline.of(scanner, Buffer.from(body));
    if (outline === null) throw new Error('no JSON');
    return watch.begin(id, promptPrefix(outline, PREFIX_MAX_BYTES));
  };
  const turn = (body: unknown, id = 1, answer: { target?: string; readTokens?: number } = {}) => {
    const begun = begin(typeof body === 'string' ? body : JSON.stringify(body), id);
    if (begun === null) return null;
    return watch.answered(begun, {
      target: 'openai/gpt',
      lifeMs: LIFE_MS,
      promptTokens: TOKENS,
      readTokens: 0,
      cachedTokens: TOKENS,
      lossPico,
      ...answer,
    });
  };
  return { clock, watch, begin, turn };
}

const tool = (name: string) => ({
  type: 'function',
  function: { name, description: 'Does "it" ]}' },
});
const anthropic = (system: unknown, turns = 1) => ({
  model: 'm',
  tools: [tool('a'), tool('b')],
  system,
  messages: Array.from({ length: turns }, (_, nth) => ({ role: 'user', content: `Turn ${nth}` })),
});
const chat = (system: string, turns = 1) => ({
  model: 'm',
  messages: [
    { role: 'system', content: system },
    ...Array.from({ length: turns }, (_, nth) => ({ role: 'user', content: `Turn ${nth}` })),
  ],
  tools: [tool('a')],
});

describe('a session that breaks its cache', () => {
  test('by a time in its system prompt is told of at the third change, with the first byte that differs', () => {
    const { turn } = watched();
    const body = (nth: number) =>
      JSON.stringify(anthropic(`Be é brief. It is 12:0${nth}.`, nth + 1));
    for (const nth of [0, 1, 2]) expect(turn(body(nth))).toBeNull();
    const bytes = Buffer.from(body(3));
    const offset = bytes.indexOf('12:03') + 4;
    expect(turn(body(3))).toEqual({
      part: 'system',
      offset,
      partOffset: offset - bytes.indexOf('"Be é'),
      turns: 3,
      lostPico: 3 * TOKENS,
    });
    expect(turn(body(4)), 'once').toBeNull();
    expect(turn(body(5)), 'once').toBeNull();
  });

  test('wherever in whatever part the byte stands', () => {
    const parts = fc.record({
      part: fc.constantFrom('tools', 'system', 'instructions', 'messages', 'input'),
      before: fc.string({ unit: 'grapheme', maxLength: 1_500 }),
      after: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
      indent: fc.constantFrom(0, 2),
    });
    fc.assert(
      fc.property(parts, ({ part, before, after, indent }) => {
        const { turn } = watched();
        const body = (nth: number) => {
          const text = `${before}#${nth}#${after}.`;
          const turns = [
            { role: 'developer', content: text },
            { role: 'user', content: `${nth}` },
          ];
          return JSON.stringify(
            {
              model: 'm',
              ...(part === 'tools' ? { tools: [tool(text)], system: 'Be brief.' } : {}),
              ...(part === 'system' ? { system: [{ type: 'text', text }] } : {}),
              ...(part === 'instructions' ? { instructions: text } : {}),
              ...(part === 'messages' || part === 'input' ? { [part]: turns } : {}),
            },
            null,
            indent,
          );
        };
        for (const nth of [0, 1, 2]) expect(turn(body(nth))).toBeNull();
        const [was, is] = [Buffer.from(body(2)), Buffer.from(body(3))];
        const offset = is.findIndex((byte, at) => byte !== was[at]);
        expect(turn(body(3))).toMatchObject({ part, offset });
      }),
      { numRuns: 100 },
    );
  });

  test('is compared with the prompt that it comes closest to', () => {
    const { turn } = watched();
    for (const said of ['Alpha 1.', 'Beta 1.', 'Alpha 2.']) expect(turn(chat(said))).toBeNull();
    const offset = JSON.stringify(chat('Beta 2.')).indexOf('2.');
    expect(turn(chat('Beta 2.'))).toMatchObject({ part: 'messages', offset });
  });

  test('by tools that come and go, of which the body has no byte', () => {
    const { turn } = watched();
    const long = (nth: number) => ({ system: `Be ${nth}`, tools: [tool(`${nth}`)], messages: [] });
    for (const nth of [0, 1, 2]) turn(long(nth));
    expect(turn({ system: 'Be 9', messages: [] })).toMatchObject({ part: 'tools', offset: null });
  });

  test('has lost what was cached and was not read, and nothing that anybody can price where one turn has no price', () => {
    const { turn } = watched();
    for (const nth of [0, 1, 2]) turn(chat(`It is ${nth} o'clock`), 1, { readTokens: 512 });
    expect(turn(chat("It is 3 o'clock"), 1, { readTokens: 512 })?.lostPico).toBe(
      3 * (TOKENS - 512),
    );
    const unpriced = watched(() => null);
    for (const nth of [0, 1, 2]) unpriced.turn(chat(`It is ${nth} o'clock`));
    expect(unpriced.turn(chat("It is 3 o'clock"))?.lostPico).toBeNull();
  });
});

describe('never told of is', () => {
  test('a session that only grows: its turns, and its prompt at the end', () => {
    const block = (text: string) => ({ type: 'text', text });
    const grown = fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), {
      minLength: 5,
      maxLength: 12,
    });
    fc.assert(
      fc.property(
        grown,
        fc.constantFrom('text', 'blocks', 'marked', 'turn', 'turns'),
        (texts, how) => {
          const { turn } = watched();
          for (let end = 1; end <= texts.length; end++) {
            const said = texts.slice(0, end);
            const blocks = said.map(block);
            const marked = blocks.map((one, at) =>
              at === end - 1 ? { ...one, cache_control: { type: 'ephemeral', ttl: '1h' } } : one,
            );
            const system = how === 'text' ? said.join('') : how === 'blocks' ? blocks : marked;
            const first =
              how === 'turn'
                ? [{ role: 'system', content: said.join('') }]
                : said.map((content) => ({ role: 'system', content }));
            const turns = said.flatMap((content) => [
              { role: 'user', content },
              { role: 'assistant', content },
            ]);
            const body = how.startsWith('turn')
              ? { tools: [tool('a')], messages: [...first, ...turns] }
              : { tools: [tool('a')], system, messages: turns };
            expect(turn(body)).toBeNull();
            expect(turn(body)).toBeNull();
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('an agent and its helpers, whose prompts take turns', () => {
    const { turn } = watched();
    const helpers = ['explorer', 'planner', 'reviewer', 'writer', 'tester'];
    for (let nth = 0; nth < 60; nth++) {
      const prompt = nth % 2 === 0 ? 'agent' : (helpers[(nth >> 1) % helpers.length] ?? '');
      expect(turn(chat(`You are the ${prompt}.`, nth))).toBeNull();
    }
  });

  test('who changes twice, behind the end of a cache, at another target, or has no prompt', () => {
    const { turn, clock, watch } = watched();
    for (const nth of [0, 1, 2]) expect(turn(chat(`Twice ${nth}.`), 1)).toBeNull();
    for (let nth = 0; nth < 8; nth++)
      expect(turn(chat(`Moved ${nth}.`), 3, { target: `t${nth}` })).toBeNull();
    for (let nth = 0; nth < 8; nth++) {
      clock.ms += LIFE_MS + 1;
      expect(turn(chat(`Slow ${nth}.`), 2)).toBeNull();
      expect(turn({ messages: [{ role: 'user', content: `${nth}` }] }, 4)).toBeNull();
    }
    expect(watch.sessions).toBe(3);
  });

  test('one session for what another one does', () => {
    const { turn } = watched();
    for (let nth = 0; nth < 40; nth++) {
      expect(turn(chat(`It is ${nth}.`), nth % 20)).toBeNull();
      expect(turn(chat('It is never.'), 100)).toBeNull();
    }
  });

  test('a turn that was not answered', () => {
    const { begin, turn } = watched();
    turn(chat('Begin.'));
    for (let nth = 0; nth < 9; nth++) begin(JSON.stringify(chat(`Try ${nth}.`)));
    expect(turn(chat('Go on.'))).toBeNull();
  });
});

describe('the table', () => {
  test('holds the last sessions, and counts those that it forgets while their cache lives', () => {
    let forgotten = 0;
    const { turn, watch, clock } = watched(
      () => 0,
      () => forgotten++,
    );
    for (let id = 0; id < SESSIONS_MAX + 10; id++) turn(chat(`Session ${id}`), id);
    expect([watch.sessions, forgotten]).toEqual([SESSIONS_MAX, 10]);
    clock.ms += LIFE_MS + 1;
    for (let id = 0; id < 10; id++) turn(chat(`Other ${id}`), 1_000 + id);
    expect([watch.sessions, forgotten]).toEqual([SESSIONS_MAX, 10]);
  });

  test('keeps no more bytes than it may, whatever is sent, and none of what it forgot', () => {
    const { turn, watch } = watched();
    for (let nth = 0; nth < 100; nth++) {
      turn(chat(`${nth}`.repeat(PREFIX_MAX_BYTES)), nth);
      turn(chat(`${nth}`.repeat(10_000)), nth % 3);
      expect(watch.keptBytes).toBeLessThanOrEqual(KEPT_MAX_BYTES);
    }
    for (let id = 0; id < SESSIONS_MAX; id++) turn(chat('x'), 1_000 + id);
    expect(watch.keptBytes).toBeLessThan(SESSIONS_MAX * 200);
  });

  test('compares nothing behind its bound of one prompt', () => {
    const { turn, watch } = watched();
    const long = 'x'.repeat(2 * PREFIX_MAX_BYTES);
    for (let nth = 0; nth < 9; nth++) expect(turn(anthropic(`${long}${nth}.`))).toBeNull();
    expect(watch.keptBytes).toBe(PREFIX_MAX_BYTES);
  });
});

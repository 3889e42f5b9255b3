import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventData } from '../../../src/wire/event-data.ts';
import { JsonElements } from '../../../src/wire/json-elements.ts';

/** What is told of a text, cut anywhere; each piece is lent. */
function told(text: string, member: string | null, cuts: readonly number[] = []) {
  const bytes = Buffer.from(text);
  const elements = new JsonElements(member);
  const data = new EventData();
  const seen: (string | null)[] = [];
  const edges = [
    0,
    ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b),
    bytes.length,
  ];
  for (let index = 1; index < edges.length; index++) {
    const lent = Buffer.from(bytes.subarray(edges[index - 1], edges[index]));
    let at = elements.begin(lent);
    while (at >= 0 && at < lent.length) {
      at = elements.read(lent, at, data);
      if (at >= 0) seen.push(data.take());
    }
    data.keep();
    lent.fill(0x7b);
  }
  elements.finish();
  const last = data.take();
  return { seen: last === '' ? seen : [...seen, last], rest: elements.rest };
}

const cuts = fc.array(fc.nat(), { maxLength: 8 });
const spaced = (value: unknown, spaces: number): string => JSON.stringify(value, null, spaces);

describe('the elements of an array', () => {
  test('are told whole and in order, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.nat(2), cuts, (values, spaces, at) => {
        const { seen } = told(spaced(values, spaces), null, at);
        expect(seen.map((text) => JSON.parse(text ?? ''))).toEqual(
          JSON.parse(JSON.stringify(values)),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  test('that are objects or lists are told with their last byte, whatever comes behind them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue())), {
          minLength: 1,
        }),
        fc.constantFrom(null, 'list'),
        (values, member) => {
          const text = spaced(member === null ? values : { list: values }, 0);
          const close = member === null ? ']' : ']}';
          const { seen } = told(text.slice(0, -close.length), member);
          expect(seen.map((one) => JSON.parse(one ?? ''))).toEqual(
            JSON.parse(JSON.stringify(values)),
          );
          const elements = new JsonElements(member);
          const open = Buffer.from(text.slice(0, -close.length));
          let count = 0;
          for (let at = 0; at >= 0 && at < open.length; ) {
            at = elements.read(open, at, new EventData());
            if (at >= 0) count++;
          }
          expect(count).toBe(values.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('of a member are told alone, and what stands around them is kept', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue()),
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.nat(2),
        cuts,
        (values, before, behind, spaces, at) => {
          const others = Object.fromEntries(
            Object.entries({ ...before, inner: { list: [1] }, ...behind }).filter(
              ([name]) => name !== 'list' && name !== '__proto__',
            ),
          );
          const text = spaced({ ...others, list: values, after: '"list":[' }, spaces);
          const { seen, rest } = told(text, 'list', at);
          expect(seen.map((one) => JSON.parse(one ?? ''))).toEqual(
            JSON.parse(JSON.stringify(values)),
          );
          expect(JSON.parse(rest ?? '')).toEqual(
            JSON.parse(JSON.stringify({ ...others, list: [], after: '"list":[' })),
          );
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('are none where the text is something else', () => {
    for (const text of ['', '{}', '{"a":[1]}', '"[1,2]"', '7', '{"list":{"list":[1]}}'])
      expect(told(text, 'list').seen, text).toEqual([]);
  });

  test('that end with their text are told as far as they came', () => {
    expect(told('[{"a":1},{"b":', null).seen).toEqual(['{"a":1}', '{"b":']);
    expect(told('[[1,2],[3', null).seen).toEqual(['[1,2]', '[3']);
  });

  test('have nothing kept around them beyond its bound', () => {
    const { seen, rest } = told(`{"x":"${'y'.repeat(70_000)}","list":[1]}`, 'list');
    expect([seen, rest]).toEqual([[], null]);
  });
});

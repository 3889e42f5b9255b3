import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuardSession, type GuardSet } from '../../../../src/guard/guard-session.ts';
import { GuardedStream } from '../../../../src/guard/text/guarded-stream.ts';
import { EventStream } from '../../../../src/wire/event-stream.ts';
import { JsonElements } from '../../../../src/wire/json-elements.ts';
import { JsonLines } from '../../../../src/wire/json-lines.ts';
import { type GuardedWire, SOURCE_WIRES, TEXT_WIRES } from '../../../support/guarded-wires.ts';
import { guardSet, markGuard, redactedMarks } from '../../../support/word-guard.ts';

const ABOUT = { tenant: '1', requestId: 'req_1' };

function framing({ format }: GuardedWire) {
  if (format === 'events') return new EventStream();
  return format === 'lines' ? new JsonLines() : new JsonElements();
}

/** @param cuts where the bytes are parted */
function guarded(
  wire: GuardedWire,
  stream: Buffer,
  cuts: readonly number[],
  session: GuardSession,
): Buffer {
  const guard = new GuardedStream(framing(wire), session);
  const told: Buffer[] = [];
  let from = 0;
  for (const to of [...new Set(cuts)].sort((a, b) => a - b).concat(stream.length)) {
    // A piece is lent: what is kept of it has to be copied.
    const piece = Buffer.from(stream.subarray(from, to));
    guard.push(piece);
    told.push(Buffer.from(guard.take()));
    piece.fill(0x21);
    from = to;
  }
  guard.finish();
  told.push(guard.take());
  return Buffer.concat(told);
}

function sessionOf(set: GuardSet = guardSet(markGuard('redact'))): GuardSession {
  return new GuardSession(set, ABOUT);
}

function cut(text: string, at: readonly number[]): readonly string[] {
  const places = [...new Set(at.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => text.slice(from, places[index] ?? text.length));
}

const words = fc.constantFrom(
  ...['plain ', '<<secret>>', '<<', '>>', '<', 'é\u{1f600}', '"', '\\', '\n', '<<x>>', '[MARK]'],
);
const texts = fc.array(words, { minLength: 1, maxLength: 12 }).map((all) => all.join(''));
const places = fc.array(fc.nat(500), { maxLength: 8 });

describe('a guarded stream', () => {
  it.each(TEXT_WIRES)('$name: is what the whole text is, wherever it is parted', (wire) => {
    fc.assert(
      fc.property(texts, places, places, (text, parts, cuts) => {
        const stream = wire.written(cut(text, parts));
        const told = guarded(
          wire,
          stream,
          cuts.map((at) => at % stream.length),
          sessionOf(),
        );
        expect(wire.read(told.toString())).toBe(redactedMarks(text));
      }),
      { numRuns: 300 },
    );
  });

  it.each(
    SOURCE_WIRES,
  )('$name: each text in it is what it is whole, and JSON stays JSON', (wire) => {
    fc.assert(
      fc.property(texts, texts, places, places, fc.boolean(), (key, text, parts, cuts, ascii) => {
        const value = { [key]: [text, { nested: text }], count: 12 };
        const plain = JSON.stringify(value);
        const source = ascii
          ? plain.replace(
              /[^ -~]/g,
              (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
            )
          : plain;
        const stream = wire.written(cut(source, parts));
        const told = guarded(
          wire,
          stream,
          cuts.map((at) => at % stream.length),
          sessionOf(),
        );
        const clean = redactedMarks(text);
        expect(JSON.parse(wire.read(told.toString()))).toEqual({
          [redactedMarks(key)]: [clean, { nested: clean }],
          count: 12,
        });
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ...TEXT_WIRES,
    ...SOURCE_WIRES,
  ])('$name: events of which nothing is changed keep their bytes, whatever was held meanwhile', (wire) => {
    fc.assert(
      fc.property(texts, places, places, (text, parts, cuts) => {
        const source = SOURCE_WIRES.includes(wire) ? JSON.stringify({ text }) : text;
        const clean = source.replaceAll('>>', '>.');
        const stream = wire.written(cut(clean, parts));
        const told = guarded(
          wire,
          stream,
          cuts.map((at) => at % stream.length),
          sessionOf(),
        );
        // A surrogate half, or half of an escape, is not text yet: it waits for its other half, in another event.
        if (!/[\ud800-\udfff\\]/.test(clean)) expect(told.toString()).toBe(stream.toString());
        else expect(wire.read(told.toString())).toBe(clean);
      }),
      { numRuns: 200 },
    );
  });
});

describe('what a guarded stream holds', () => {
  const chat = TEXT_WIRES[0];
  const content = (text: string, session: GuardSession, flushedAt = -1): string => {
    if (chat === undefined) return '';
    const parts = [...text];
    const guard = new GuardedStream(new EventStream(), session);
    const told: Buffer[] = [];
    const events = chat.written(parts).toString().split('\n\n');
    for (const [at, event] of events.entries()) {
      guard.push(Buffer.from(at === events.length - 1 ? event : `${event}\n\n`));
      // The opening is one event more.
      if (at === flushedAt) guard.flush();
      told.push(Buffer.from(guard.take()));
    }
    guard.finish();
    told.push(guard.take());
    return chat.read(Buffer.concat(told).toString());
  };

  it('text that nothing begins in leaves with its event', () => {
    const guard = new GuardedStream(new EventStream(), sessionOf());
    const event = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"plain"}}]}\n\n');
    guard.push(event);
    expect(guard.take().equals(event)).toBe(true);
    expect(guard.isHolding).toBe(false);
  });

  it('a value over more events than are kept is found all the same, and stands where it ended', () => {
    const long = `so <<${'x'.repeat(24)}>> it is`;
    expect(content(long, sessionOf())).toBe('so [MARK] it is');
  });

  it('no more than 4 KiB of events wait: more of them leave without the text that is held', () => {
    const guard = new GuardedStream(new EventStream(), sessionOf());
    const event = (text: string) =>
      `data: {"id":"${'i'.repeat(300)}","choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`;
    let told = '';
    for (const unit of '<<abcdefghijklmnopqrstuvw') {
      guard.push(Buffer.from(event(unit)));
      told += guard.take().toString();
    }
    expect(told.split(event('')).length).toBeGreaterThan(10);
    guard.push(Buffer.from(event('>> end')));
    guard.finish();
    told += guard.take().toString();
    expect(chat?.read(told)).toBe('[MARK] end');
  });

  it('an event that is longer than any is counted as one that cannot be read, and leaves behind those before it', () => {
    const session = sessionOf(guardSet(markGuard('redact', { onUnscanned: 'pass' })));
    const guard = new GuardedStream(new EventStream(), session);
    const event = (text: string) =>
      `data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`;
    const long = event('x'.repeat(2_000_000));
    const stream = Buffer.from(event('a <<') + long + event('<<b>>') + event('c'));
    let told = '';
    for (let at = 0; at < stream.length; at += 65_536) {
      guard.push(stream.subarray(at, at + 65_536));
      told += guard.take().toString();
    }
    guard.finish();
    told += guard.take().toString();
    expect(told === event('a <<') + long + event('[MARK]') + event('c')).toBe(true);
    expect(session.unscannedBytes).toBe(long.length);
  });

  it('one that is longer than any ends the stream where what cannot be read is blocked', () => {
    const session = sessionOf();
    const guard = new GuardedStream(new EventStream(), session);
    const chunk = Buffer.alloc(65_536, 'x');
    guard.push(Buffer.from('data: '));
    for (let at = 0; at < 17; at++) guard.push(chunk);
    expect(session.blockedBy).toEqual({ guard: 'mark', what: 'unscanned' });
    expect(guard.take()).toHaveLength(0);
  });

  it('what leaves unsettled is counted, whether its time was over or it was too much', () => {
    const session = sessionOf();
    const guard = new GuardedStream(new EventStream(), session);
    const event = (index: number) =>
      `data: {"choices":[{"index":${index},"delta":{"content":"<<${'x'.repeat(22)}"}}]}\n\n`;
    guard.flush();
    expect(session.heldTooLong).toBe(0);
    for (let index = 0; index < 200; index++) guard.push(Buffer.from(event(index)));
    expect(session.heldTooLong).toBeGreaterThan(0);
  });

  it('what was held for too long leaves; a value that it was a part of is cut where the guard blocks', () => {
    const session = sessionOf();
    // Flushed within the mark.
    expect(content('a <<secret>> b', session, 5)).toBe('a <<s');
    expect(session.blockedBy).toEqual({ guard: 'mark', what: 'held_too_long' });
  });

  it('where the guard lets pass what it cannot judge, the rest of such a value is taken out', () => {
    const session = sessionOf(guardSet(markGuard('redact', { onError: 'pass' })));
    expect(content('a <<secret>> b', session, 5)).toBe('a <<s[MARK] b');
    expect(session.counts.failures).toBe(1);
  });

  it('what was held for too long and becomes nothing changes nothing behind it', () => {
    const session = sessionOf();
    expect(content('a <<no and <<yes>>', session, 5)).toBe('a <<no and [MARK]');
    expect(session.blockedBy).toBeNull();
  });

  const delta = (index: number, members: string): string =>
    `data: {"choices":[{"index":${index},"delta":{${members}}}]}\n\n`;

  it('an answer’s first word does not wait for what its last thought could have become', () => {
    const guard = new GuardedStream(new EventStream(), sessionOf());
    const stream = delta(0, '"reasoning":"so <<"') + delta(0, '"content":"plain"');
    guard.push(Buffer.from(stream));
    expect(guard.take().toString()).toBe(stream);
  });

  it('choices, and two tellings of one thought, that take turns are held each by itself', () => {
    const session = sessionOf();
    const guard = new GuardedStream(new EventStream(), session);
    const both = (text: string): string =>
      `"reasoning":"${text}","reasoning_details":[{"index":0,"text":"${text}"}]`;
    for (const text of ['a <<sec', 'ret>> b'])
      for (const index of [0, 1]) guard.push(Buffer.from(delta(index, both(text))));
    guard.finish();
    const told = guard.take().toString();
    expect(told).toBe(
      ['a [MARK]', ' b'].map((text) => delta(0, both(text)) + delta(1, both(text))).join(''),
    );
    expect(session.blockedBy).toBeNull();
  });

  it('a guard that only tells holds nothing, and finds over events', () => {
    const session = sessionOf(guardSet(markGuard('flag')));
    const guard = new GuardedStream(new EventStream(), session);
    const event = (text: string) =>
      Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`);
    for (const text of ['<', '<sec', 'ret>', '>']) {
      guard.push(event(text));
      expect(guard.take().equals(event(text))).toBe(true);
    }
    expect(session.counts.findings).toBe(1);
  });

  it('a guard that blocks lets no byte of what it found pass, nor anything behind it', () => {
    const session = sessionOf(guardSet(markGuard('block')));
    expect(content('a <<secret>> b', session)).toBe('a ');
    expect(session.blockedBy).toEqual({ guard: 'mark', what: 'mark' });
  });

  it('an answer that breaks off tells what is whole, and no half event', () => {
    const guard = new GuardedStream(new EventStream(), sessionOf());
    const whole = 'data: {"choices":[{"index":0,"delta":{"content":"a <<"}}]}\n\n';
    guard.push(Buffer.from(`${whole}data: {"choices":[{"ind`));
    guard.cut();
    expect(guard.take().toString()).toBe(whole);
  });

  it.each([
    ['an event that is no JSON', 'data: {"choices":[{\n\n'],
    ['an event of a type that nobody knows', 'data: {"type":"vision.delta","words":"he llo"}\n\n'],
    [
      'a text that goes on where nobody knows one',
      'data: {"choices":[{"index":0,"delta":{"song":"la"}}]}\n\n',
    ],
    [
      'a delta of a type that nobody knows',
      'data: {"type":"content_block_delta","index":0,"delta":{"type":"x_delta","x":"la"}}\n\n',
    ],
  ])('%s is counted, and blocked where that is asked for', (_name, event) => {
    for (const onUnscanned of ['pass', 'block'] as const) {
      const session = sessionOf(guardSet(markGuard('redact', { onUnscanned })));
      const guard = new GuardedStream(new EventStream(), session);
      guard.push(Buffer.from(event));
      guard.finish();
      expect(guard.take().toString()).toBe(onUnscanned === 'pass' ? event : '');
      expect(session.unscannedBytes).toBeGreaterThan(0);
      expect(session.blockedBy?.what ?? null).toBe(onUnscanned === 'pass' ? null : 'unscanned');
    }
  });

  it('an event that tells once more what has been streamed is guarded, too, whatever it ends', () => {
    const wire = TEXT_WIRES.find(({ name }) => name === 'responses text');
    const stream = wire?.written(['a <<sec', 'ret>> b']) ?? Buffer.alloc(0);
    const guard = new GuardedStream(new EventStream(), sessionOf());
    guard.push(stream);
    guard.finish();
    const told = guard.take().toString();
    expect(told).not.toContain('secret');
    expect(told).toContain('"text":"a [MARK] b"');
  });

  it('two runs of one stream are no one text: halves in two choices are no value', () => {
    const guard = new GuardedStream(new EventStream(), sessionOf());
    const stream = [0, 1]
      .map((index) => ['<<secret', '>>'][index] ?? '')
      .map(
        (text, index) => `data: {"choices":[{"index":${index},"delta":{"content":"${text}"}}]}\n\n`,
      )
      .join('');
    guard.push(Buffer.from(`${stream}data: [DONE]\n\n`));
    guard.finish();
    expect(guard.take().toString()).toBe(`${stream}data: [DONE]\n\n`);
  });
});

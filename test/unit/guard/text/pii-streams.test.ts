import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { DocumentGuarding } from '../../../../src/guard/document-guarding.ts';
import type { Guard } from '../../../../src/guard/guard.ts';
import { GuardSession } from '../../../../src/guard/guard-session.ts';
import { PiiDetector } from '../../../../src/guard/pii/pii-detector.ts';
import { PlaceholderMap } from '../../../../src/guard/placeholder-map.ts';
import { GuardedStream } from '../../../../src/guard/text/guarded-stream.ts';
import { EventStream } from '../../../../src/wire/event-stream.ts';
import { JsonElements } from '../../../../src/wire/json-elements.ts';
import { JsonLines } from '../../../../src/wire/json-lines.ts';
import { type GuardedWire, SOURCE_WIRES, TEXT_WIRES } from '../../../support/guarded-wires.ts';
import { markGuard } from '../../../support/word-guard.ts';

const VALUES = [
  'ada.lovelace@analytical.org',
  '+44 20 7946 0958',
  'GB29 NWBK 6016 1331 9268 19',
  '4111 1111 1111 1111',
  'ghp_16C7e42F292c6912E7710c838347Ae178B4a',
];
const TEXT = `To ${VALUES.slice(0, 3).join(' or ')}: card ${VALUES[3]}, key ${VALUES[4]} "thus".\n`;
const PLAIN = new RegExp(VALUES.map((value) => value.replace(/[.+]/g, '\\$&')).join('|'));

function guardOf(action: 'mask' | 'redact'): Guard {
  return markGuard(action, { name: 'pii', detector: new PiiDetector() });
}

function sessionOf(action: 'mask' | 'redact'): GuardSession {
  const set = { guards: [guardOf(action)], placeholders: () => new PlaceholderMap() };
  return new GuardSession(set, { tenant: '1', requestId: 'req_1' });
}

function framing({ format }: GuardedWire) {
  if (format === 'events') return new EventStream();
  return format === 'lines' ? new JsonLines() : new JsonElements();
}

function told(wire: GuardedWire, pieces: readonly Buffer[], session: GuardSession): string {
  const guard = new GuardedStream(framing(wire), session);
  const out: Buffer[] = [];
  for (const piece of pieces) {
    guard.push(piece);
    out.push(Buffer.from(guard.take()));
  }
  guard.finish();
  out.push(guard.take());
  return Buffer.concat(out).toString();
}

/** What the guard makes of the text in a request: the prompt as its provider has it. */
function masked(session: GuardSession, text: string): string {
  let body = '';
  new DocumentGuarding(session, 'request', {
    onGuarded: (bytes) => {
      body = bytes.toString();
    },
  }).guard(Buffer.from(JSON.stringify({ messages: [{ role: 'user', content: text }] })));
  return JSON.parse(body).messages[0].content;
}

const wires = [...TEXT_WIRES, ...SOURCE_WIRES];
const sourced = (wire: GuardedWire, text: string): string =>
  SOURCE_WIRES.includes(wire) ? JSON.stringify({ text: [text] }) : text;

describe('personal data in a stream', () => {
  it.each(wires)('$name: no value leaves, at every cut of the text over two events', (wire) => {
    const whole = told(wire, [wire.written([sourced(wire, TEXT)])], sessionOf('redact'));
    const expected = wire.read(whole);
    expect(expected).not.toMatch(PLAIN);
    expect(expected.match(/\[[A-Z]+\]/g)).toHaveLength(VALUES.length);
    const source = sourced(wire, TEXT);
    for (let at = 0; at <= source.length; at++) {
      const stream = wire.written([source.slice(0, at), source.slice(at)]);
      const out = told(wire, [stream], sessionOf('redact'));
      expect(wire.read(out), `cut at ${at}`).toBe(expected);
      expect(out, `cut at ${at}`).not.toMatch(PLAIN);
    }
  });

  it.each(wires)('$name: no value leaves, one character in each event', (wire) => {
    const expected = wire.read(
      told(wire, [wire.written([sourced(wire, TEXT)])], sessionOf('redact')),
    );
    const out = told(wire, [wire.written([...sourced(wire, TEXT)])], sessionOf('redact'));
    expect(wire.read(out)).toBe(expected);
  });

  it.each(wires)('$name: no value leaves, at every cut of its bytes', (wire) => {
    const source = sourced(wire, TEXT);
    const stream = wire.written([source.slice(0, 50), source.slice(50)]);
    const expected = told(wire, [stream], sessionOf('redact'));
    for (let at = 1; at < stream.length; at++) {
      const pieces = [Buffer.from(stream.subarray(0, at)), Buffer.from(stream.subarray(at))];
      expect(told(wire, pieces, sessionOf('redact')), `cut at ${at}`).toBe(expected);
    }
  });

  it.each(wires)('$name: what was masked is put back, at every cut of the placeholders', (wire) => {
    const prompt = masked(sessionOf('mask'), TEXT);
    expect(prompt).not.toMatch(PLAIN);
    for (let at = 0; at <= prompt.length; at++) {
      const session = sessionOf('mask');
      const source = sourced(wire, masked(session, TEXT));
      const stream = wire.written([source.slice(0, at), source.slice(at)]);
      expect(wire.read(told(wire, [stream], session)), `cut at ${at}`).toBe(sourced(wire, TEXT));
    }
  });

  it.each([
    ['previous_response_id', '"resp_1"', '[EMAIL]'],
    ['conversation', '{"id":"conv_1"}', '[EMAIL]'],
    ['previous_response_id', 'null', '[EMAIL_1]'],
  ])('what goes on with kept turns (%s: %s) is %s: no placeholder of theirs is taken for one of its own', (name, value, expected) => {
    const session = sessionOf('mask');
    let body = '';
    new DocumentGuarding(session, 'request', {
      onGuarded: (bytes) => {
        body = bytes.toString();
      },
    }).guard(Buffer.from(`{"input":"Ask ada@analytical.org","${name}":${value}}`));
    expect(JSON.parse(body).input).toBe(`Ask ${expected}`);
  });

  it('two exchanges at once never see each other’s values', () => {
    const [wire] = TEXT_WIRES;
    if (wire === undefined) throw new Error('There is no wire.');
    for (let run = 0; run < 20_000; run += 2) {
      const pairs = [run, run + 1].map((number) => ({
        session: sessionOf('mask'),
        mail: `user${number}@customers.org`,
      }));
      const prompts = pairs.map(({ session, mail }) => masked(session, `Ask ${mail}.`));
      expect(new Set(prompts)).toEqual(new Set(['Ask [EMAIL_1].']));
      for (const { session, mail } of pairs) {
        const out = wire.read(told(wire, [wire.written(['Ask [EMA', 'IL_1].'])], session));
        expect(out).toBe(`Ask ${mail}.`);
      }
    }
  });
});

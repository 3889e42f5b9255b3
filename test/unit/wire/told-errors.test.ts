import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecretTraces } from '../../../src/wire/secret-traces.ts';
import { ToldErrors } from '../../../src/wire/told-errors.ts';

const KEY = 'sk-proj-Zk3yT9_wQ1-mN8vB2xC5rD7eF0gH4jL6pS_aUoI1uYtReWqAzXsDcVfBgNhMjK9wxyz';
const KEYS = { traces: new SecretTraces(KEY) };
const MASKED = 'sk-proj-************wxyz';
const TELLTALE = 'wxyz';

type Format = 'json' | 'events' | 'lines';

/** @returns what came out, piece by piece; '' for a piece that was held */
function told(format: Format | null, pieces: readonly string[], mayTell = true): readonly string[] {
  const out: string[] = [];
  let at = 0;
  const errors = new ToldErrors(KEYS, format, {
    push: (piece) => {
      out[at] = (out[at] ?? '') + piece.toString('latin1');
      return true;
    },
    end: () => {},
  });
  for (const [n, piece] of pieces.entries()) {
    at = n;
    out[at] = '';
    const lent = Buffer.from(piece, 'latin1');
    errors.push(lent, mayTell, false);
    lent.fill(0x21);
  }
  at = pieces.length;
  errors.end();
  return out;
}

/** Errors as whole bodies of a 200. */
const BODIES: readonly string[] = [
  `{"error":{"message":"bad ${MASKED}","code":502}}`,
  `{"error":"bad ${MASKED}"}`,
  `{ "error" : { "message":"bad ${MASKED}"} }`,
  `{"type":"error","error":{"type":"x","message":"bad ${MASKED}"}}`,
  `{"object":"error","message":"bad ${MASKED}"}`,
  `{"id":"gen-1","object":"chat.completion","error":{"message":"bad ${MASKED}"}}`,
  `{"detail":"bad ${MASKED}"}`,
  `{"message":"bad ${MASKED}","code":401}`,
  `{"status":401,"title":"bad ${MASKED}"}`,
  `{"success":false,"errors":["bad ${MASKED}"]}`,
  `{"id":"1","choices":[{"error":{"code":502,"message":"bad ${MASKED}"}}]}`,
  `[{"error":{"code":400,"message":"bad ${MASKED}"}}]`,
  `<html><body>bad ${MASKED}</body></html>`,
];
const EVENTS: readonly string[] = [
  ...BODIES.slice(0, 11).map((body) => `data: ${body}\n\n`),
  `event: error\ndata: {"type":"error","message":"bad ${MASKED}"}\n\n`,
  `event: error\ndata: bad ${MASKED}\n\n`,
  `event: error\r\ndata: {"error":\r\ndata: "bad ${MASKED}"}\r\n\r\n`,
];
const DELTA = 'data: {"id":"1","choices":[{"delta":{"content":"a"}}]}\n\n';

describe('an error in a success', () => {
  it.each(BODIES)('%s is told without the ends of the key, over any cut', (body) => {
    for (let cut = 0; cut <= body.length; cut++) {
      const shown = told('json', [body.slice(0, cut), body.slice(cut)]).join('');
      expect(shown).not.toContain(TELLTALE);
      expect(shown.length).toBe(body.length);
      expect(shown.replaceAll(/\*+/g, '*')).toBe(body.replace(MASKED, '*'));
    }
    expect(told('json', [...body]).join('')).not.toContain(TELLTALE);
  });

  it('is found wherever it stands, behind whatever looks like its name', () => {
    const like = fc.array(fc.constantFrom('e', 'er', 'erro', 'r', 'o', 'error', ' ', 'x', ':'));
    fc.assert(
      fc.property(like, like, (one, other) => {
        const said = `{"id":"${one.join('')}","${other.join('')}x":1`;
        const shown = told('json', [`${said},"error":{"message":"bad ${MASKED}"}}`]).join('');
        expect(shown).not.toContain(TELLTALE);
        expect(shown.startsWith(said)).toBe(true);
      }),
    );
  });

  it.each(EVENTS)('%j is told without the ends of the key, over any cut', (event) => {
    const stream = event + DELTA;
    for (let cut = 0; cut <= stream.length; cut++) {
      const shown = told('events', [stream.slice(0, cut), stream.slice(cut)]).join('');
      expect(shown).not.toContain(TELLTALE);
      expect(shown.endsWith(DELTA)).toBe(true);
    }
    expect(told('events', [...stream]).join('')).not.toContain(TELLTALE);
  });

  it('behind content is told so too, where it names an error', () => {
    for (const event of EVENTS.filter((one) => /"error"|event: error/.test(one))) {
      const stream = DELTA + event + DELTA;
      for (let cut = 0; cut <= stream.length; cut++) {
        const shown = told('events', [stream.slice(0, cut), stream.slice(cut)]).join('');
        expect(shown).not.toContain(TELLTALE);
      }
    }
  });

  it('in a line of JSON among others is told so too, and those that follow do not wait', () => {
    const line = `{"error":"bad ${MASKED}"}\n`;
    const out = told('lines', [
      '{"model":"m"}\n',
      line.slice(0, 20),
      line.slice(20),
      '{"a":1}\n',
      '',
    ]);
    expect(out.join('')).not.toContain(TELLTALE);
    expect(out).toEqual([
      '{"model":"m"}\n',
      '',
      line.replace(MASKED, '*'.repeat(24)),
      '{"a":1}\n',
      '',
    ]);
  });

  it('leaves an event stream going on behind its blank line', () => {
    const out = told('events', [DELTA, EVENTS[0] ?? '', DELTA]);
    expect(out[0]).toBe(DELTA);
    expect(out[2]).toBe(DELTA);
    expect(out[1]).not.toContain(TELLTALE);
  });
});

describe('what is no error', () => {
  it.each([
    ['json', '{"id":"1","error":null,"output":[{"text":"begin keys with sk-proj-..."}]}'],
    ['json', '{"id":"1","content":[{"type":"tool_use","input":{"error":"sk-proj-..."}}]}'],
    ['json', '{"id":"1","choices":[{"message":{"content":"\\"error\\": sk-proj-****"}}]}'],
    ['json', '{"message":{"role":"assistant","content":"sk-proj-..."}}'],
    ['json', '{"code":0,"message":"ok","data":{"text":"sk-proj-...","choices":[]}}'],
    ['events', `${DELTA}data: {"id":"2","choices":[{"delta":{"content":"sk-proj-..."}}]}\n\n`],
    ['events', 'data: {"functionCall":{"args":{"error":"sk-proj-..."}}}\n\n'],
    ['lines', '{"message":{"tool_calls":[{"arguments":{"error":"sk-proj-..."}}]}}\n'],
  ] as const)('of %s, %s, passes byte for byte', (format, body) => {
    expect(told(format, [body]).join('')).toBe(body);
  });

  it('passes at once, and so does a null that a piece cuts off', () => {
    const answer = '{"id":"1","error":null,"output":[{"text":"sk-proj-..."}]}';
    for (let cut = 0; cut <= answer.length; cut++)
      expect(told('json', [answer.slice(0, cut), answer.slice(cut)])).toEqual([
        answer.slice(0, cut),
        answer.slice(cut),
      ]);
    expect(told('events', [DELTA, `${DELTA}data: {"x`, '":1}\n\n'])).toEqual([
      DELTA,
      `${DELTA}data: {"x`,
      '":1}\n\n',
    ]);
  });

  it('passes when it is packed, or longer than an error', () => {
    const body = `{"error":"${'x'.repeat(20_000)} ${MASKED}"}`;
    expect(told('json', [body]).join('')).toBe(body);
    expect(told(null, [`{"error":"${MASKED}"}`]).join('')).toContain(TELLTALE);
  });
});

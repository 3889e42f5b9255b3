import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecretFilter } from '../../../src/wire/secret-filter.ts';
import { SecretTraces } from '../../../src/wire/secret-traces.ts';
import { cpuMicros } from '../../support/cpu-time.ts';

const KEY = 'sk-proj-Zk3yT9_wQ1-mN8vB2xC5rD7eF0gH4jL6pS_aUoI1uYtReWqAzXsDcVfBgNhMjK9wxyz';
const traces = new SecretTraces(KEY);
const latin1 = (text: string) => Buffer.from(text).toString('latin1');

const percent = [...KEY].map((one) => `%${one.charCodeAt(0).toString(16)}`).join('');
const json = [...KEY].map((one) => `\\u00${one.charCodeAt(0).toString(16)}`).join('');
const html = [...KEY].map((one) => `&#x${one.charCodeAt(0).toString(16)};`).join('');
const decimal = [...KEY].map((one) => `&#${one.charCodeAt(0)};`).join('');
const base64 = (text: string) => Buffer.from(text).toString('base64');

const escapedTwice = json.replaceAll('\\', '\\\\');
const utf16 = (text: string) => Buffer.from(text, 'utf16le').toString('latin1');
const bigEndian = (text: string) => Buffer.from(text, 'utf16le').swap16().toString('latin1');
const utf32 = (text: string) => [...text].map((one) => `${one}\0\0\0`).join('');

describe('traces of a secret in a text in a text', () => {
  it.each([
    ['in a JSON text in another', escapedTwice],
    ['in a JSON text in another in a third', escapedTwice.replaceAll('\\', '\\\\')],
    ['percent-encoded twice', percent.replaceAll('%', '%25')],
    ['in JSON escapes, percent-encoded', json.replaceAll('\\', '%5c')],
    ['in HTML escapes in a JSON text', html.replaceAll('&', '\\u0026')],
    ['in escapes of bytes', [...KEY].map((one) => `\\x${one.charCodeAt(0).toString(16)}`).join('')],
    ['in old percent escapes', percent.replaceAll('%', '%u00')],
    ['in UTF-16', utf16(KEY)],
    ['in UTF-16, big end first', bigEndian(KEY)],
    ['in UTF-32', utf32(KEY)],
    ['masked, in UTF-16', utf16('sk-proj-*******wxyz')],
    ['in JSON escapes, in UTF-16', utf16(json)],
    ['its end in words, in UTF-16', utf16('a key ending in wxyz')],
  ])('%s', (_what, trace) => {
    for (const text of [`no ${trace}, see x`, trace]) {
      const hidden = traces.hide(text);
      const covered = traces.cover(text);
      for (const shown of [hidden, covered]) {
        expect(shown).toContain('*');
        const plain = shown.replaceAll(/\0|\\|\*/g, '');
        for (const part of ['wxyz', 'w\\x78', 'Zk3', 'mN8vB2', 'u006d', '%6d', '&#x6d'])
          expect(plain).not.toContain(part);
      }
      expect(covered.length).toBe(text.length);
    }
  });

  it('in UTF-16 leave what stands around them as it was', () => {
    for (const [encode, swaps] of [
      [utf16, false],
      [bigEndian, true],
    ] as const) {
      const hidden = Buffer.from(traces.hide(encode(`{"error":"no ${KEY}, see é"}`)), 'latin1');
      const text = (swaps ? hidden.swap16() : hidden).toString('utf16le');
      expect(text.replaceAll(/\*+/g, '*')).toBe('{"error":"no *, see é"}');
    }
  });
});

describe('traces of a secret', () => {
  it.each([
    ['itself', KEY],
    ['behind its scheme', `Bearer ${KEY}`],
    ['in capitals', KEY.toUpperCase()],
    ['in small letters', KEY.toLowerCase()],
    ['its middle in capitals', KEY.slice(17, 31).toUpperCase()],
    ['percent-encoded in capitals', percent.toUpperCase()],
    ['masked, in capitals', 'SK-PROJ-****WXYZ'],
    ['its beginning', KEY.slice(0, 20)],
    ['its end', KEY.slice(-14)],
    ['its middle', KEY.slice(17, 31)],
    ['percent-encoded', percent],
    ['partly percent-encoded', encodeURIComponent(KEY).replace('T9', '%54%39')],
    ['in JSON escapes', json],
    ['in HTML escapes', html],
    ['in decimal HTML escapes', decimal],
    ['in base64', base64(KEY)],
    ['in base64 behind Bearer', base64(`Bearer ${KEY}`)],
    ['in base64 behind a user', base64(`user:${KEY}`)],
    ['in base64 between two others', base64(`a:${KEY}:b`)],
    ['in base64 for URLs', Buffer.from(`?>${KEY}`).toString('base64url')],
    ['in hexadecimal', Buffer.from(KEY).toString('hex')],
    ['in capital hexadecimal', Buffer.from(KEY).toString('hex').toUpperCase()],
    ['masked, as OpenAI does', 'sk-proj-********************************wxyz'],
    ['masked behind more', 'sk-proj-Zk3y***************wxyz'],
    ['masked with an ellipsis', 'sk-…wxyz'],
    ['masked with dots', 'sk-...wxyz'],
    ['masked with dots, its beginning', 'sk-proj-Zk3...'],
    ['masked with bullets', '••••wxyz'],
    ['masked with crosses', 'xxxxxxxxwxyz'],
    ['masked with an escaped ellipsis', 'sk-\\u2026wxyz'],
    ['masked with a word', 'sk-proj-Zk3[redacted]9wxyz'],
    ['masked with lines', 'sk-proj-Zk3---9wxyz'],
    ['its end in words', 'a key ending in wxyz'],
    ['its end in other words', 'the last four characters are "K9wxyz"'],
    ['its beginning in words', "it starts with 'sk-proj-Zk3y'"],
  ])('%s', (_what, trace) => {
    const text = latin1(`{"error":{"message":"Incorrect API key provided: ${trace}. See x."}}`);
    expect(traces.isIn(text)).toBe(true);
    const hidden = traces.hide(text);
    expect(hidden).toContain('***');
    expect(hidden).toMatch(/^\{"error":\{"message":"Incorrect .* See x\."\}\}$/);
    for (const part of ['wxyz', 'Zk3', 'mN8vB2', KEY.slice(17, 29)])
      expect(hidden).not.toContain(part);
    expect(traces.isIn(hidden)).toBe(false);
  });

  it.each([
    'Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.',
    'Keys begin with sk-proj- or sk-ant-.',
    'wxyz is no model; try "wxyz-2"',
    '**bold** ... and so on ... xxxx ---- [a] <b>',
    '{"code":"invalid_api_key","param":null,"n":"%zz \\u00 &#; \\\\"}',
    'the request ends in error; the last two words are these',
    '',
  ])('stand not in %j', (text) => {
    expect(traces.isIn(latin1(text))).toBe(false);
    expect(traces.hide(latin1(text))).toBe(latin1(text));
  });

  it('of a short secret are the whole of it and its ends', () => {
    const short = new SecretTraces('sk-pool');
    expect(short.hide('a sk-pool b sk-poo c ***pool')).toBe('a *** b sk-poo c ***');
    expect(short.isIn('sk-poo pool')).toBe(false);
  });

  it('end where they do: what is around them stays byte for byte', () => {
    const around = latin1('ä\\u00e4%C3%A4 "');
    expect(traces.hide(`${around}${KEY}${around}${percent}${around}`)).toBe(
      `${around}***${around}***${around}`,
    );
  });
});

describe('a filter for a secret', () => {
  function filtered(body: Buffer, cuts: readonly number[]): string {
    const out: Buffer[] = [];
    const filter = new SecretFilter(traces, {
      push: (piece) => out.push(Buffer.from(piece)) > 0,
    });
    let at = 0;
    for (const cut of [...cuts.toSorted((a, b) => a - b), body.length]) {
      // Lent: the buffer is overwritten when the call returns.
      const piece = Buffer.from(body.subarray(at, cut));
      filter.push(piece);
      piece.fill(0);
      at = cut;
    }
    filter.end();
    return Buffer.concat(out).toString('latin1');
  }
  const SAID = [
    KEY,
    percent,
    json,
    base64(`user:${KEY}`),
    'sk-…wxyz',
    'ending in wxyz',
    KEY.slice(9, 30),
  ];
  const filler = fc.string({
    unit: fc.constantFrom('a', ' ', '"', '\\', '%', '*', '\u00e4', '{'),
    maxLength: 9_000,
  });
  const body = fc
    .array(fc.tuple(filler, fc.constantFrom(...SAID)), { maxLength: 4 })
    .map((parts) => parts.map(([text, said]) => `${text} ${said} `).join(''));

  it('shows the same over any cuts, and no trace', () => {
    fc.assert(
      fc.property(body, fc.array(fc.nat(40_000), { maxLength: 20 }), (text, cuts) => {
        const bytes = Buffer.from(text);
        const shown = filtered(
          bytes,
          cuts.map((cut) => Math.min(cut, bytes.length)),
        );
        expect(shown).toBe(traces.hide(bytes.toString('latin1')));
        expect(traces.isIn(shown)).toBe(false);
      }),
      { numRuns: 150 },
    );
  });

  it('cut at every byte, a short error has no trace', () => {
    for (const said of SAID) {
      const bytes = Buffer.from(`{"error":"${said} is wrong"}`);
      for (let cut = 0; cut <= bytes.length; cut++)
        expect(traces.isIn(filtered(bytes, [cut]))).toBe(false);
    }
  });

  it('holds no more than a few KiB of a long body', () => {
    let given = 0;
    let shown = 0;
    const filter = new SecretFilter(traces, {
      push: (piece) => {
        shown += piece.length;
        return true;
      },
    });
    for (let i = 0; i < 64; i++) {
      given += 65_536;
      filter.push(Buffer.alloc(65_536, 'a'));
      expect(given - shown).toBeLessThan(16_384);
    }
    filter.end();
    expect(shown).toBe(given);
  });

  it('takes time in proportion to what came, whatever it is made of and however it drips', () => {
    // Masks, tags and characters of the key: a megabyte of them, and a body that comes byte by byte.
    const nasty = Buffer.from('<b>..sk-p[x]wxy***'.repeat(60_000));
    const whole = (bytes: number): number =>
      cpuMicros(() => filtered(nasty.subarray(0, bytes), [70_000, 140_000]));
    const drip = (bytes: number): number => {
      const cuts = Array.from({ length: bytes }, (_, at) => at);
      return cpuMicros(() => filtered(nasty.subarray(0, bytes), cuts));
    };
    // Eight times as much takes eight times as long, and 64 times where all is looked at again with each piece.
    expect(whole(nasty.length) / whole(nasty.length / 8)).toBeLessThan(24);
    expect(drip(60_000) / drip(7_500)).toBeLessThan(24);
  });
});

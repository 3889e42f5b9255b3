import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MOST_HELD_UNITS, PiiDetector } from '../../../../src/guard/pii/pii-detector.ts';
import { scanned, told } from '../../../support/scanned.ts';

const detector = new PiiDetector();
const found = (text: string): readonly string[] => told(text, scanned(detector, text));

const BASE64 = 'MIIEowIBAAKCAQEA75GqCN5bMzVx0Qk4T1yQd7c2aWfJ9LrUeHn3Pt8KsZoXbYvA';
const PEM = `-----BEGIN RSA PRIVATE KEY-----\n${BASE64}\n${BASE64}\nabc=\n-----END RSA PRIVATE KEY-----`;
const JWT =
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U';

/** Each whole text is one finding. */
const FOUND: readonly (readonly [what: string, text: string])[] = [
  ['email', 'john.doe+news@example.co.uk'],
  ['email', 'j@x.io'],
  ['email', 'søren.ødegård@blåbær.example'],
  ['email', 'user_name%relay@mail.xn--p1ai'],
  ['phone', '+49 170 1234567'],
  ['phone', '+49 (0)30 1234567'],
  ['phone', '+14155552671'],
  ['phone', '+1 (415) 555-2671'],
  ['phone', '555-234-4567'],
  ['phone', '(555) 234-4567'],
  ['phone', '1-800-555-0199'],
  ['phone', '030/1234567'],
  ['phone', '089 / 123 45 67'],
  ['phone', '01 23 45 67 89'],
  ['phone', '01.23.45.67.89'],
  ['phone', '020 7946 0958'],
  ['phone', '0049 30 1234567'],
  ['iban', 'DE89370400440532013000'],
  ['iban', 'GB82WEST12345698765432'],
  ['iban', 'FR14 2004 1010 0505 0001 3M02 606'],
  ['iban', 'no9386011117947'],
  ['card', '4111 1111 1111 1111'],
  ['card', '4111111111111111'],
  ['card', '5555-5555-5555-4444'],
  ['card', '3782 822463 10005'],
  ['card', '6011 1111 1111 1117'],
  ['ip', '10.1.2.3'],
  ['ip', '203.0.113.250'],
  ['ip', '2001:db8::1'],
  ['ip', '2001:0db8:85a3:0000:0000:8a2e:0370:7334'],
  ['ip', 'fe80::1ff:fe23:4567:890a'],
  ['secret', 'AKIAIOSFODNN7EXAMPLE'],
  ['secret', 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'],
  ['secret', 'github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz'],
  ['secret', 'xoxb-123456789012-abcdefGHIJKL'],
  ['secret', `sk_live_${'4eC39HqLyjWDarjtT1zdp7dc'}`],
  ['secret', 'sk-proj-Zk3yT9_wQ1-mN8vB2xC5rD7eF0gH4jL6pS'],
  ['secret', 'sk-ant-api03-Zk3yT9wQ1mN8vB2xC5rD7eF0gH4jL6pS'],
  ['secret', 'AIzaSyA1234567890abcdefghijklmnopqrstuv'],
  ['secret', JWT],
  ['secret', PEM],
];

/** What is found within a text. */
const WITHIN: readonly (readonly [text: string, ...found: string[]])[] = [
  ['to DE89 3704 0044 0532 0130 00.', 'iban:DE89 3704 0044 0532 0130 00'],
  ['write to <jane@example.com>.', 'email:jane@example.com'],
  ['mailto:jane@example.com?subject=x', 'email:jane@example.com'],
  ['jane@example.com-based', 'email:jane@example.com'],
  ['{"to":["a@b.org","c@d.org"]}', 'email:a@b.org', 'email:c@d.org'],
  ['4111 1111 1111 1111 123 12/26', 'card:4111 1111 1111 1111'],
  ['card=4111111111111111;', 'card:4111111111111111'],
  ['10.1.2.3:8080 and http://10.1.2.4/x', 'ip:10.1.2.3', 'ip:10.1.2.4'],
  ['my phone number is 612 345 678.', 'phone:612 345 678'],
  ['Tel.: 5551234567', 'phone:5551234567'],
  ['call (555) 234-4567 now', 'phone:(555) 234-4567'],
  ['+1 415 555 2671 24 hours', 'phone:+1 415 555 2671'],
  ['"password": "Winter2024!"', 'secret:Winter2024!'],
  ['the password is hunter22hunter.', 'secret:hunter22hunter'],
  ['dbPassword: s3cr3tS4uce', 'secret:s3cr3tS4uce'],
  ['<password>Winter2024</password>', 'secret:Winter2024'],
  [
    'AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'secret:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  ],
  ['api key: 9f86d081884c7d659a2feaa0c55ad015', 'secret:9f86d081884c7d659a2feaa0c55ad015'],
  [`Authorization: Bearer ${JWT}`, `secret:${JWT}`],
  ['postgres://app:s3cr3t@db:5432/x', 'secret:s3cr3t'],
  ['https://u:pw@example.com/', 'secret:pw'],
];

/** Looks like something, and is nothing. */
const NOTHING: readonly string[] = [
  'order 5551234567, EAN 4006381333931, ticket 0012345678901',
  '4111 1111 1111 1112 and 9999 9999 9999 9995',
  'DE88370400440532013000, DE8937040044053201300 and DE893704004405320130001',
  '01.02.2024 12:30, 2024-01-15 10:30:00, 1/2/24, 12:30:45',
  'v1.2.3.4 1.2.3.4.5 256.1.1.1 127.0.0.1 0.0.0.0 255.255.255.0 Chrome/120.0.0.0',
  'Foo::Bar dead::beef std::vector aa:bb:cc:dd:ee:ff',
  'git@github.com:org/repo.git logo@2x.png @decorator.name a@b user@localhost x@y.z',
  '4111-1111 1111-1111 and 555 234 4567 890 123',
  'the token abc12def34 expired',
  '3.14159265358979 0.4111111111111111 order_4111111111111111',
  '550e8400-e29b-41d4-a716-446655440000',
  'sk-learn-pipeline-something-long-in-words task-1234567890123456789012345',
  'token = getToken2(x1y2z3); tokenizer: gpt2abc3d4; passwordless 12abc34d',
  'tokens for gpt-4o-mini-2024-07-18 and claude-sonnet-4-5-20250929 are cheap',
  'password: $PASSWORD_1a2b3c and password: process.env.PASSWORD1 and the password is required',
  'secret: https://example.com/v1a2b3c4 and eyJhbGciOi.eyJ and -----BEGIN CERTIFICATE-----',
  'http://example.com:8080/a@b and postgres://app:$PASSWORD@db/',
  '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 and 100 200 3000 4000',
];

describe('what the detector of personal data finds', () => {
  test.each(FOUND)('a text that is one %s is one finding: %s', (what, text) => {
    expect(found(text)).toEqual([`${what}:${text}`]);
    expect(found(`(${text})`)).toEqual([`${what}:${text}`]);
    expect(found(`see ${text}, please`)).toEqual([`${what}:${text}`]);
  });

  test.each(WITHIN)('within %s only what is personal is found', (text, ...expected) => {
    expect(found(text)).toEqual(expected);
  });

  test.each(NOTHING)('nothing is found in %s', (text) => {
    expect(found(text)).toEqual([]);
  });

  test('only the kinds that were asked for are found', () => {
    const all = FOUND.map(([, text]) => text).join(' ; ');
    for (const kind of ['email', 'phone', 'iban', 'card', 'ip', 'secret'] as const) {
      const findings = told(all, scanned(new PiiDetector([kind]), all));
      expect(findings).toEqual(FOUND.filter(([what]) => what === kind).map((row) => row.join(':')));
    }
  });
});

describe('checked numbers', () => {
  const digits = (length: number) =>
    fc.array(fc.integer({ min: 0, max: 9 }), { minLength: length, maxLength: length });

  /** The digit that makes Luhn's sum right, found by trying all ten. */
  const withCheck = (body: string): string => {
    const sumOf = (number: string): number =>
      [...number].reverse().reduce((sum, one, index) => {
        const value = Number(one) * (index % 2 === 0 ? 1 : 2);
        return sum + (value > 9 ? value - 9 : value);
      }, 0);
    const check = [...'0123456789'].find((digit) => sumOf(body + digit) % 10 === 0);
    return `${body}${check}`;
  };

  test('every card of an issuer is found, and none with one digit changed', () => {
    fc.assert(
      fc.property(
        digits(14),
        fc.nat({ max: 15 }),
        fc.integer({ min: 1, max: 9 }),
        (rest, at, by) => {
          const card = withCheck(`4${rest.join('')}`);
          expect(found(card)).toEqual([`card:${card}`]);
          const changed = (Number(card[at]) + by) % 10;
          const wrong = `${card.slice(0, at)}${changed}${card.slice(at + 1)}`;
          expect(found(wrong)).toEqual([]);
        },
      ),
    );
  });

  const iban = (bban: string): string => {
    const number = [...`${bban}GB00`].map((one) => Number.parseInt(one, 36)).join('');
    return `GB${String(98n - (BigInt(number) % 97n)).padStart(2, '0')}${bban}`;
  };

  test('every IBAN with right check digits is found, and none with one digit changed', () => {
    const bank = fc.string({
      unit: fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'),
      minLength: 4,
      maxLength: 4,
    });
    fc.assert(
      fc.property(bank, digits(14), fc.integer({ min: 8, max: 21 }), (letters, rest, at) => {
        const right = iban(`${letters}${rest.join('')}`);
        expect(found(right)).toEqual([`iban:${right}`]);
        const other = right[at] === '7' ? '8' : '7';
        expect(found(`${right.slice(0, at)}${other}${right.slice(at + 1)}`)).toEqual([]);
      }),
    );
  });
});

describe('texts that come in pieces', () => {
  const texts = [...FOUND.map(([, text]) => text), ...WITHIN.map(([text]) => text), ...NOTHING];

  test.each(texts)('every cut of it changes nothing: %s', (text) => {
    const around = `See ${text}, or ${text} `;
    const whole = scanned(detector, around).findings;
    for (let at = 1; at < around.length; at++) {
      expect(scanned(detector, around, [at]).findings).toEqual(whole);
    }
    const everywhere = Array.from({ length: around.length }, (_, at) => at);
    expect(scanned(detector, around, everywhere).findings).toEqual(whole);
  });

  const signs = fc.string({
    unit: fc.constantFrom(...'aZ09 .-_+%@:/()[]="\n,;#é漢'),
    maxLength: 12,
  });
  const words = fc.constantFrom(
    ...['eyJ', 'sk-', 'AKIA', '-----BEGIN ', 'PRIVATE KEY-----', 'password', 'token', 'phone'],
    ...['4111', '1111', '+49', '0170', '10.', 'DE89', '2001:', '@example', '.com', 'is', 'http://'],
  );
  const long = fc.constantFrom(
    'a'.repeat(300),
    'eyJ-'.repeat(200),
    '1'.repeat(40),
    'aB3-'.repeat(90),
  );
  const text = fc
    .array(fc.oneof({ weight: 4, arbitrary: signs }, words, fc.constantFrom(...texts), long), {
      maxLength: 12,
    })
    .map((parts) => parts.join(''));

  test('any text in any pieces gives what it gives whole', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat({ max: 3_000 }), { maxLength: 40 }), (whole, cuts) => {
        const pieces = scanned(detector, whole, cuts);
        expect(pieces.findings).toEqual(scanned(detector, whole).findings);
        expect(pieces.held).toBeLessThanOrEqual(MOST_HELD_UNITS);
      }),
      { numRuns: 2_000 },
    );
  });

  test('ordinary text leaves at once, but for its last word', () => {
    const text = 'The quick brown fox jumps over 13 lazy dogs, in 2024. What';
    expect(detector.scan(text, 'text', false).settledTo).toBe(text.length - 'What'.length);
    expect(detector.scan('One line.\n', 'text', false).settledTo).toBe(10);
  });

  test('a private key that never ends is held back to the bound, and found up to there', () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${`${BASE64}\n`.repeat(100)}`;
    const cuts = Array.from({ length: 200 }, (_, at) => at * 33);
    const { findings, held } = scanned(detector, key, cuts);
    expect(findings[0]?.from).toBe(0);
    expect(findings[0]?.to).toBeGreaterThan(3_500);
    expect(held).toBeLessThanOrEqual(MOST_HELD_UNITS);
  });
});

describe('hostile texts', () => {
  const hostile: readonly string[] = [
    'a',
    '@',
    'a@',
    'a@a.',
    'a.a@',
    '1',
    '1 ',
    '1.',
    '1:',
    '2001:',
    '(1',
    '+1',
    'eyJ-',
    `${'eyJ-'.repeat(140)}.${'a'.repeat(1_000)}`,
    'DE89 ',
    'password=',
    'password1=',
    'token:a1',
    'token ',
    'sk-',
    'sk-1',
    'http://',
    'http://a:',
    '-----BEGIN PRIVATE KEY-----',
    '-----BEGIN PRIVATE KEYPRIVATE ',
    '-',
    '\u00e9',
    ' ',
  ];
  /** The worst of those begin a number every two units, and each time some hundred of them are read. */
  const MOST_LOOKS = 64;

  /** @returns how often a unit of the text was looked at, on average */
  const looksAt = (text: string): number => {
    const real = String.prototype.charCodeAt;
    let looks = 0;
    String.prototype.charCodeAt = function counted(at) {
      looks++;
      return real.call(this, at);
    };
    try {
      detector.scan(text, 'text', true);
    } finally {
      String.prototype.charCodeAt = real;
    }
    return looks / text.length;
  };

  test.each(hostile)('a text of nothing but %j costs no more than its length', (unit) => {
    const short = looksAt(unit.repeat(Math.ceil(8_192 / unit.length)));
    const long = looksAt(unit.repeat(Math.ceil(65_536 / unit.length)));
    expect(short).toBeGreaterThanOrEqual(1);
    expect(long).toBeLessThan(MOST_LOOKS);
    expect(long).toBeLessThan(short * 1.1);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import { Neighbour } from '../support/neighbour.ts';
import { CHAT, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

/** What an attacker wants the upstream to get as a request of its own. */
const HIDDEN = 'GET /v1/hidden HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer sk-evil\r\n\r\n';
const CHUNKED = 'Transfer-Encoding: chunked';
const LENGTH = 'Content-Length: 5';
const EMPTY_CHUNKED = `0\r\n\r\n${HIDDEN}`;

/** Lines of the head behind a key, and everything behind the head. */
type Case = readonly [what: string, lines: string, behind: string];

// Refused: an error or a closed connection, and nothing upstream.
const CODINGS = [
  'xchunked',
  'identity',
  'gzip, chunked',
  'chunked, identity',
  'identity, chunked',
  'chunked,',
  ',chunked',
  'chunked;q=1',
  '"chunked"',
  "'chunked'",
  'chunked chunked',
  '',
];
/** Taken for chunked when they stand alone, as RFC 9112 §7 wants it, and refused beside a length. */
const SPELLINGS = [
  'chunked',
  ' chunked',
  'chunked ',
  '\tchunked',
  'Chunked',
  'CHUNKED',
  'chunked\t ',
];
const LENGTHS = [
  '5,5',
  '5, 5',
  '5, 0',
  '+5',
  '-5',
  '0x5',
  '5.0',
  '5e0',
  '5 5',
  '5;',
  '5\0',
  '5\x0b',
  '\x0c5',
  '\xb25',
  '\xd9\xa5',
  '',
  '4294967301',
  '9007199254740993',
  '18446744073709551621',
  '99999999999999999999',
];
const REFUSED: readonly Case[] = [
  ['CL.TE', `Content-Length: 6\r\n${CHUNKED}`, '0\r\n\r\nG'],
  ['CL.TE over a request', `Content-Length: ${5 + HIDDEN.length}\r\n${CHUNKED}`, EMPTY_CHUNKED],
  [
    'TE.CL',
    `${CHUNKED}\r\nContent-Length: 4`,
    `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  ],
  ...[...SPELLINGS, ...CODINGS].map(
    (value): Case => [
      `a length beside the coding ${JSON.stringify(value)}`,
      `Transfer-Encoding:${value}\r\n${LENGTH}`,
      EMPTY_CHUNKED,
    ],
  ),
  ...CODINGS.map(
    (value): Case => [
      `the coding ${JSON.stringify(value)}`,
      `Transfer-Encoding:${value}`,
      EMPTY_CHUNKED,
    ],
  ),
  ['chunked twice', `${CHUNKED}\r\n${CHUNKED}`, EMPTY_CHUNKED],
  ['chunked and something else', `${CHUNKED}\r\nTransfer-Encoding: x`, EMPTY_CHUNKED],
  ['something else and chunked', `Transfer-Encoding: x\r\n${CHUNKED}`, EMPTY_CHUNKED],
  ['equal lengths', `${LENGTH}\r\n${LENGTH}`, 'hello'],
  ['a length, and a longer one', `${LENGTH}\r\nContent-Length: 90`, `hello${HIDDEN}`],
  ['a length, and a shorter one', `Content-Length: ${HIDDEN.length}\r\n${LENGTH}`, HIDDEN],
  ...LENGTHS.map(
    (value): Case => [
      `the length ${JSON.stringify(value)}`,
      `Content-Length:${value}`,
      `hello${HIDDEN}`,
    ],
  ),
  [
    'a space before the colon of the coding',
    `Transfer-Encoding : chunked\r\n${LENGTH}`,
    EMPTY_CHUNKED,
  ],
  [
    'a tab before the colon of the coding',
    `Transfer-Encoding\t: chunked\r\n${LENGTH}`,
    EMPTY_CHUNKED,
  ],
  ['a space before the colon of the length', 'Content-Length : 5', `hello${HIDDEN}`],
  [
    'a control byte before the coding',
    `\x0bTransfer-Encoding: chunked\r\n${LENGTH}`,
    EMPTY_CHUNKED,
  ],
  ['a control byte in the coding', `Transfer-Encoding: chu\x01nked\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a NUL in the coding', `Transfer-Encoding: chunke\0d\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a NUL before the coding', `X-A: a\0${CHUNKED}\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a bare LF before the coding', `X-A: a\n${CHUNKED}\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a bare CR before the coding', `X-A: a\r${CHUNKED}\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a bare LF at the end of the head', `${LENGTH}\r\nX-A: a\n\nGET /v1/hidden HTTP/1.1`, 'hello'],
  ['a folded coding', `Transfer-Encoding:\r\n chunked\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a coding folded into another field', `X-A: a\r\n ${CHUNKED}\r\n${LENGTH}`, EMPTY_CHUNKED],
  ['a folded length', 'Content-Length: 5\r\n 0', `hello${HIDDEN}`],
  ['a field without a name before the length', `: x\r\nContent-Length: ${HIDDEN.length}`, HIDDEN],
  ['two Hosts', `Host: evil\r\n${LENGTH}`, 'hello'],
];

// Relayed once, with exactly this content.
const RELAYED: readonly (readonly [...Case, content: string])[] = [
  [
    'a length in the wrong place of a name',
    `Transfer_Encoding: chunked\r\n${LENGTH}`,
    'hello',
    'hello',
  ],
  ['a length with zeros before it', 'Content-Length: 0005', 'hello', 'hello'],
  ['a length with white space around it', 'Content-Length:\t 5 ', 'hello', 'hello'],
  ['a length of nothing', 'Content-Length: 0', '', ''],
  ...SPELLINGS.map((value): readonly [...Case, string] => [
    `the coding ${JSON.stringify(value)}`,
    `Transfer-Encoding:${value}`,
    '5\r\nhello\r\n0\r\n\r\n',
    'hello',
  ]),
  ['a request inside of a sized body', `Content-Length: ${HIDDEN.length}`, HIDDEN, HIDDEN],
  [
    'a request inside of a chunk',
    CHUNKED,
    `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
    HIDDEN,
  ],
  ['a last chunk inside of a chunk', CHUNKED, `5\r\n0\r\n\r\n\r\n0\r\n\r\n`, '0\r\n\r\n'],
  ['a chunk size in capitals', CHUNKED, `B\r\nhello world\r\n0\r\n\r\n`, 'hello world'],
  ['a chunk size with zeros before it', CHUNKED, `0005\r\nhello\r\n000\r\n\r\n`, 'hello'],
];

// Chunked framing that is wrong or that the front end does not know: platform facts C. It never sees the raw bytes'
// meaning again, so what is claimed is what counts: no request of the attacker's making, and none that looks whole
// with another content than the one that was admitted.
const SLOPPY: readonly (readonly [what: string, behind: string])[] = [
  // The front end takes both for a last chunk.
  ['white space before a size', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['no size at all', '\r\nhello\r\n0\r\n\r\n'],
  ['an extension', '5;a=b\r\nhello\r\n0\r\n\r\n'],
  ['an empty extension', '5;\r\nhello\r\n0\r\n\r\n'],
  ['an extension with a bare LF', '5;\nx\r\nhello\r\n0\r\n\r\n'],
  ['a quoted line end in an extension', '5;a="\r\n"\r\nhello\r\n0\r\n\r\n'],
  ['an endless extension', `5;${'a'.repeat(100_000)}\r\nhello\r\n0\r\n\r\n`],
  ['an extension of the last chunk', '5\r\nhello\r\n0;x\r\n\r\n'],
  ['a size in another notation', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['a signed size', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a negative size', '-5\r\nhello\r\n0\r\n\r\n'],
  ['a size that is none', 'xyz\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^32 and 5', '100000005\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^63 and 5', '8000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^64 and 5', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a size of 2^64 less 1', 'ffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF behind a size', '5\nhello\r\n0\r\n\r\n'],
  ['a bare CR behind a size', '5\rhello\r\n0\r\n\r\n'],
  ['a NUL behind a size', '5\0\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF behind a chunk', '5\r\nhello\n0\r\n\r\n'],
  ['nothing behind a chunk', '5\r\nhello0\r\n\r\n'],
  ['other bytes behind a chunk', '5\r\nhelloXX0\r\n\r\n'],
  ['bare LFs at the end', '5\r\nhello\r\n0\n\n'],
  ['a trailer', '5\r\nhello\r\n0\r\nX-A: 1\r\n\r\n'],
  ['a length as a trailer', '5\r\nhello\r\n0\r\nContent-Length: 100\r\n\r\n'],
  ['trailers that spell a request', `5\r\nhello\r\n0\r\n${HIDDEN}`],
  ['a coding as a trailer', `5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a key as a trailer', '5\r\nhello\r\n0\r\nAuthorization: Bearer sk-evil\r\n\r\n'],
  ['a virtual key as a trailer', `5\r\nhello\r\n0\r\nX-A: ${token({ tenantId: 43n })}\r\n\r\n`],
  ['a hundred trailers', `5\r\nhello\r\n0\r\n${'X-A: 1\r\n'.repeat(100)}\r\n`],
  ['an endless trailer', `5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(100_000)}\r\n\r\n`],
  ['a size larger than what comes', `ff\r\nhello\r\n0\r\n\r\n`],
];

let siege: Siege;
let neighbour: Neighbour;

beforeAll(async () => {
  siege = await startSiege(
    async (turn) => {
      await turn.bodyDone();
      if (turn.request.bodyDone) await turn.answer('{}');
    },
    { keepBodies: true },
  );
  neighbour = new Neighbour(siege.gateway);
  await neighbour.served();
});
afterAll(async () => await siege.close());

/** A virtual key is tried in both lanes: where the path names the provider, and where the body would have to. */
const keys = {
  'with its own key': { key: 'sk-own', path: CHAT, isRouted: false },
  'with a virtual key': { key: token(), path: `/openai${CHAT}`, isRouted: false },
  'with a virtual key that its body routes': { key: token(), path: CHAT, isRouted: true },
};
type Sender = (typeof keys)[keyof typeof keys];

/** How the bytes come: a parser that looks at segments must not be fooled by where they end. */
const WAYS = { 'in one write': true, 'head and body apart': false };

/** @returns whoever sent it, and what the upstream has got when everything was read */
async function attack({ key, path }: Sender, whole: boolean, lines: string, behind: string) {
  const before = siege.upstream.requests.length;
  const bytes = `POST ${path} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\n${lines}\r\n\r\n`;
  const client = new RawClient(siege.gateway.port);
  if (whole) client.send(bytes + behind);
  else {
    client.send(bytes);
    await neighbour.served();
    client.send(behind);
  }
  const status = { code: 0 };
  const answered = client.response().then(
    (response) => {
      status.code = response.status;
    },
    // Closed without an answer.
    () => {},
  );
  return {
    client,
    status,
    answered,
    reached: () => siege.upstream.requests.slice(before),
    /** Everything was read by now, whether or not it was answered. */
    async settled() {
      await neighbour.served();
      await neighbour.served();
      client.socket.end();
      await until('the connection to close', () => client.closed);
    },
  };
}

describe.each(Object.entries(keys))('a request %s', (_who, sender) => {
  describe.each(Object.entries(WAYS))('%s', (_how, whole) => {
    it.each(
      REFUSED,
    )('is refused for %s, and nothing goes upstream', async (_what, lines, behind) => {
      const { client, status, reached, settled } = await attack(sender, whole, lines, behind);
      await settled();
      expect(client.closed).toBe(true);
      expect([0, 400, 411, 413, 505]).toContain(status.code);
      expect(reached()).toEqual([]);
    });

    it.each(
      RELAYED,
    )('with %s arrives once and as itself', async (_what, lines, behind, content) => {
      const { client, status, answered, reached } = await attack(sender, whole, lines, behind);
      await answered;
      client.close();
      if (sender.isRouted) {
        // None of them is JSON: refused, and whatever hides behind it with it.
        expect([status.code, reached()]).toEqual([400, []]);
        return;
      }
      expect(status.code).toBe(200);
      expect(reached().map(({ target, body }) => [target, body.toString('latin1')])).toEqual([
        [CHAT, content],
      ]);
    });

    it.each(SLOPPY)('whose chunks have %s hides no other request', async (_what, behind) => {
      const { reached, settled } = await attack(sender, whole, CHUNKED, behind + HIDDEN);
      await settled();
      expect(reached().filter(({ target }) => target !== CHAT)).toEqual([]);
      expect(reached().length).toBeLessThanOrEqual(1);
      // Trailers are nobody's: neither fields nor content.
      for (const { fields } of reached())
        expect(JSON.stringify(fields)).not.toMatch(/"x-a"|sk-evil|bai_v/i);
      const contents = reached().filter(({ bodyDone }) => bodyDone);
      for (const { body } of contents) expect(['hello', '']).toContain(body.toString('latin1'));
    });
  });
});

it('a neighbour of all that has its stream and its answers whole', async () => {
  await neighbour.expectWhole();
  await expectUnharmed(siege.gateway);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HEAD_LIMIT_BYTES } from '../../../src/wire/response-parser.ts';
import { readByParser } from '../../support/response-reading.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const lines = (...all: string[]): string => `${all.join('\r\n')}\r\n\r\n`;
const read = (text: string, method = 'GET', closes = false) =>
  readByParser([bytes(text)], method, closes);

const SIZED = `${lines('HTTP/1.1 200 OK', 'Content-Length: 5', 'X-A:  b c \t')}hello`;
const CHUNKED = `${lines('HTTP/1.1 201 Created', 'transfer-encoding: CHUNKED')}3\r\nabc\r\n00a;x=1;y="q\\"u;"\r\n0123456789\r\n0\r\nx-trail: 1\r\n\r\n`;
const UNTIL_CLOSE = `${lines('HTTP/1.0 200 OK', 'Server: old')}all the rest`;
const INTERIM = `${lines('HTTP/1.1 100 Continue')}${lines('HTTP/1.1 103 Early Hints', 'link: </a>')}${SIZED}`;
const EMPTY = lines('HTTP/1.1 204 No Content', 'x: y');
const BARE = 'HTTP/1.1 200\r\n\r\n';

describe('a response', () => {
  it.each([
    ['sized', SIZED, 'hello', true],
    ['chunked', CHUNKED, 'abc0123456789', true],
    ['delimited by the connection', UNTIL_CLOSE, 'all the rest', false],
    ['behind interim ones', INTERIM, 'hello', true],
    ['without content', EMPTY, '', false],
    ['of a status line alone', BARE, '', false],
  ])('%s is read alike at every cut, and byte by byte', (_name, text, content, persistent) => {
    const whole = read(text, 'GET', true);
    expect(whole).toMatchObject({ content, fault: null, isWhole: true, isClean: true });
    expect(whole.isPersistent).toBe(persistent);
    const all = bytes(text);
    const cuts = Array.from(all, (_, at) => [all.subarray(0, at), all.subarray(at)]);
    const single = Array.from(all, (_, at) => all.subarray(at, at + 1));
    for (const pieces of [...cuts, single]) {
      const { status, reason, fields, isWhole, isClean, fault } = whole;
      const same = { status, reason, fields, content, isWhole, isClean, fault };
      expect(readByParser(pieces, 'GET', true)).toMatchObject(same);
    }
  });

  it('keeps its fields as the wire had them, white space around values gone', () => {
    const text = lines('HTTP/1.1 200 Fine by me', 'X-A:b', 'x-a: \xe9\t ', 'Content-Length: 0');
    const { reason, fields } = read(text);
    expect(reason).toBe('Fine by me');
    expect(fields).toEqual(['X-A', 'b', 'x-a', '\xe9', 'Content-Length', '0']);
  });

  it('has a status line of the one form that there is, and no other is read', () => {
    const parts = (...all: string[]) => fc.constantFrom(...all);
    const line = fc
      .tuple(
        parts('HTTP/1.', 'HTTP/1.', 'http/1.', 'HTTP/2.', 'HTTP/1', ''),
        parts('1', '1', '0', '2', ' ', ''),
        parts(' ', ' ', '\t', '', '  '),
        parts('200', '404', '999', '099', '20', '2000', '2x0', '20:', '20/', ''),
        parts(' ', ' ', '', '\t', 'x'),
        fc.string({
          maxLength: 4,
          unit: parts('O', ' ', '\t', '\x7f', '\x80', '\xff', '\x00', '\x1f', '\r', '\n'),
        }),
      )
      .map((all) => all.join(''));
    const legal = /^HTTP\/1\.[01] [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?$/;
    fc.assert(
      fc.property(line, (status) => {
        const { fault } = read(lines(status, 'Content-Length: 0'));
        expect([status, fault === null]).toEqual([
          status,
          legal.test(status) && !status.endsWith('\n'),
        ]);
      }),
      { numRuns: 3_000 },
    );
  });

  it('to HEAD has no content, whatever its fields say', () => {
    const sized = read(lines('HTTP/1.1 200 OK', 'Content-Length: 50'), 'HEAD');
    expect(sized).toMatchObject({ isWhole: true, isClean: true });
    const chunked = read(lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'), 'HEAD');
    expect(chunked).toMatchObject({ isWhole: true, content: '' });
  });

  it('tells of its last piece, and that nothing stands behind it', () => {
    expect(read(SIZED)).toMatchObject({ lastWasTold: true, isClean: true });
    expect(read(CHUNKED)).toMatchObject({ lastWasTold: true, isClean: true });
    expect(read(`${SIZED}HTTP`)).toMatchObject({ isWhole: true, isClean: false });
    expect(read(`${CHUNKED}0`)).toMatchObject({ isWhole: true, isClean: false });
    expect(read(`${EMPTY}more`)).toMatchObject({ isWhole: true, isClean: false });
  });

  it('of a known length tells with its head whether content came along, at every cut', () => {
    const all = bytes(INTERIM);
    for (let cut = 1; cut < all.length; cut++) {
      const pieces = [all.subarray(0, cut), all.subarray(cut)];
      const { followed, cameAlong } = readByParser(pieces, 'GET', false);
      expect([cut, followed]).toEqual([cut, cameAlong]);
      expect(followed).toBe(cut !== all.length - 'hello'.length);
    }
  });

  it('of many chunks in one read comes in one piece', () => {
    const chunks = Array.from({ length: 50 }, (_, n) => `${n + 1}`.repeat(n + 1));
    const coded = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
    const text = `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}${coded}0\r\n\r\n`;
    const { content, pieces } = read(text);
    expect(content).toBe(chunks.join(''));
    expect(pieces).toHaveLength(1);
  });

  it('cut short is never whole', () => {
    for (const text of [SIZED, CHUNKED, INTERIM]) {
      for (let at = 0; at < text.length; at++)
        expect(read(text.slice(0, at), 'GET', true).isWhole).toBe(false);
    }
  });

  it.each([
    ['Connection: close', false],
    ['Connection: keep-alive', true],
    ['Connection: Close, x', false],
    ['Proxy-Connection: close', true],
  ])('with %s leaves a connection to use again: %s', (field, persistent) => {
    expect(read(lines('HTTP/1.1 200 OK', 'Content-Length: 0', field)).isPersistent).toBe(
      persistent,
    );
  });
});

describe('what two readers could read differently', () => {
  const sized = (...fields: string[]): string => `${lines('HTTP/1.1 200 OK', ...fields)}abc`;
  const chunked = (content: string): string =>
    `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}${content}`;
  it.each([
    ['a status of two digits', lines('HTTP/1.1 20 OK'), 'STATUS_LINE'],
    ['a status below 100', lines('HTTP/1.1 099 No'), 'STATUS_LINE'],
    ['an interim response of HTTP/1.0', `${lines('HTTP/1.0 103 Early')}${SIZED}`, 'STATUS_LINE'],
    ['another version', lines('HTTP/2.0 200 OK'), 'STATUS_LINE'],
    ['another protocol', 'SSH-2.0-OpenSSH', 'STATUS_LINE'],
    ['a TLS record', '\x16\x03\x01\x02', 'STATUS_LINE'],
    ['a line before the status', '\r\nHTTP/1.1 200 OK\r\n\r\n', 'STATUS_LINE'],
    ['a reason with a control character', lines('HTTP/1.1 200 O\x01K'), 'STATUS_LINE'],
    ['lines that end with LF', 'HTTP/1.1 200 OK\nContent-Length: 3\n\nabc', 'FIELD_LINE'],
    ['a lone CR in a value', sized('X: a\rb'), 'FIELD_LINE'],
    ['a folded line', sized('X: a', ' b'), 'FIELD_LINE'],
    ['a space before the colon', sized('Content-Length : 3'), 'FIELD_LINE'],
    ['a line without a colon', sized('Content-Length'), 'FIELD_LINE'],
    ['an empty name', sized(': 3'), 'FIELD_LINE'],
    ['NUL in a value', sized('X: a\0b'), 'FIELD_LINE'],
    ['two lengths', sized('Content-Length: 3', 'Content-Length: 3'), 'CONTENT_LENGTH'],
    ['a length with a sign', sized('Content-Length: +3'), 'CONTENT_LENGTH'],
    ['a list of lengths', sized('Content-Length: 3, 3'), 'CONTENT_LENGTH'],
    [
      'a length beside chunks',
      sized('Content-Length: 3', 'Transfer-Encoding: chunked'),
      'CONTENT_LENGTH',
    ],
    ['another coding', sized('Transfer-Encoding: gzip, chunked'), 'TRANSFER_CODING'],
    ['a tab behind the coding', sized('Transfer-Encoding: chunked\t'), 'TRANSFER_CODING'],
    ['a tab and a space behind it', sized('transfer-encoding:chunked\t '), 'TRANSFER_CODING'],
    [
      'chunked twice',
      sized('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
      'TRANSFER_CODING',
    ],
    ['a protocol that nobody asked for', lines('HTTP/1.1 101 Switching'), 'SWITCHED_PROTOCOL'],
    ['a chunk without a size', chunked('\r\nabc'), 'CHUNK'],
    ['a size with a sign', chunked('+3\r\nabc\r\n'), 'CHUNK'],
    ['a size with 0x', chunked('0x3\r\nabc\r\n'), 'CHUNK'],
    ['a size and a space', chunked('3 \r\nabc\r\n'), 'CHUNK'],
    ['a size that ends with LF', chunked('3\nabc\r\n'), 'CHUNK'],
    ['a size of 14 digits', chunked('00000000000003\r\nabc\r\n'), 'CHUNK'],
    ['a chunk longer than its size', chunked('3\r\nabcd\r\n'), 'CHUNK'],
    ['a chunk that ends with LF', chunked('3\r\nabc\n0\r\n\r\n'), 'CHUNK'],
    ['an extension without a name', chunked('3;\r\nabc\r\n'), 'CHUNK'],
    ['a trailer without a colon', chunked('0\r\nabc\r\n\r\n'), 'CHUNK'],
    ['a folded trailer', chunked('0\r\na: b\r\n c\r\n\r\n'), 'CHUNK'],
  ])('%s is refused, and byte by byte too', (_name, text, fault) => {
    expect(read(text)).toMatchObject({ fault, isWhole: false });
    const single = Array.from(bytes(text), (_, at) => bytes(text).subarray(at, at + 1));
    expect(readByParser(single, 'GET', false)).toMatchObject({ fault, isWhole: false });
  });

  it('the content before a broken chunk is told', () => {
    expect(read(chunked('3\r\nabc\r\n2\r\nde!'))).toMatchObject({
      content: 'abcde',
      fault: 'CHUNK',
    });
  });
});

describe('a connection that a late content may come on', () => {
  it.each([
    ['HEAD', lines('HTTP/1.1 200 OK', 'Content-Length: 50')],
    ['HEAD', lines('HTTP/1.1 200 OK', 'Content-Length: 0')],
    ['DELETE', lines('HTTP/1.1 204 No Content', 'Connection: keep-alive')],
    ['GET', lines('HTTP/1.1 304 Not Modified', 'Content-Length: 50')],
  ])('carries nothing behind a response to %s that has none', (method, text) => {
    expect(read(text, method)).toMatchObject({ isWhole: true, isPersistent: false });
  });

  it('carries more behind a content of no bytes', () => {
    expect(read(lines('HTTP/1.1 200 OK', 'Content-Length: 0')).isPersistent).toBe(true);
  });
});

describe('what comes byte by byte', () => {
  const CHUNKS = lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked');
  const fill = (line: string, bytes: number): string => line.repeat(bytes / line.length);
  it.each([
    [
      'a head of short lines',
      `HTTP/1.1 200 OK\r\n${fill('a:b\r\n', 65_000)}Content-Length: 0\r\n\r\n`,
    ],
    [
      'a head of one line',
      `HTTP/1.1 200 OK\r\nContent-Length: 0\r\na:${fill('b', 65_000)}\r\n\r\n`,
    ],
    ['many interim heads', fill('HTTP/1.1 103\r\na:b\r\n\r\n', 65_000) + SIZED],
    ['extensions', `${CHUNKS}${fill(`1;a=${'b'.repeat(4_000)}\r\nx\r\n`, 65_000)}0\r\n\r\n`],
    ['trailer lines', `${CHUNKS}0\r\n${fill('a:b\r\n', 16_000)}\r\n`],
    ['one trailer line', `${CHUNKS}0\r\na:${fill('b', 16_000)}\r\n\r\n`],
  ])('costs no more than a few copies of it: %s', (_name, text) => {
    const single = Array.from(bytes(text), (_, at) => bytes(text.charAt(at)));
    const began = process.cpuUsage();
    expect(readByParser(single, 'GET', false)).toMatchObject({ isWhole: true, fault: null });
    const { user, system } = process.cpuUsage(began);
    // 65,000 calls take 30 ms; a look at all that came before, with each of them, took 14 s.
    expect((user + system) / 1e6).toBeLessThan(1.5);
  });
});

describe('bounds', () => {
  const head = (size: number): string => {
    const start = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ';
    return `${start}${'a'.repeat(size - start.length - 4)}\r\n\r\n`;
  };

  it('a head of the limit passes, one byte more does not', () => {
    expect(read(head(HEAD_LIMIT_BYTES))).toMatchObject({ fault: null, isWhole: true });
    expect(read(head(HEAD_LIMIT_BYTES + 1)).fault).toBe('HEAD_TOO_LONG');
  });

  it('interim responses without end are cut off', () => {
    const interim = lines('HTTP/1.1 103 Early Hints', `link: ${'a'.repeat(1_000)}`);
    expect(read(interim.repeat(100)).fault).toBe('HEAD_TOO_LONG');
  });

  it('trailers and extensions without end are cut off', () => {
    const start = lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked');
    expect(read(`${start}0\r\n${'a: b\r\n'.repeat(5_000)}`).fault).toBe('CHUNK');
    expect(read(`${start}3;a=${'b'.repeat(5_000)}`).fault).toBe('CHUNK');
  });
});

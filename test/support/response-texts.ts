// Generated responses, legal ones and ones that a byte or two make illegal, for comparing two readers.
import fc from 'fast-check';

const token = fc.stringMatching(/^[a-zA-Z!#$%&'*+.^_`|~-]{1,12}$/);
const value = fc.stringMatching(/^[a-z ,;="\t\xe9-\xff]{0,20}$/).map((text) => text.trim());
const ows = fc.constantFrom('', ' ', '  ', '\t');
const fieldLine = fc
  .tuple(token, ows, value, ows)
  .map(([name, before, text, behind]) => `${name}:${before}${text}${behind}`);
const fields = fc.array(fieldLine, { maxLength: 5 });
const content = fc.stringMatching(/^[a-z\r\n0-9;:\0\xff]{0,40}$/);

const SPOILERS = '\r\n\t :;,=-+0123456789abcdefxCcTtHhP/"\0\x7f\x80\xff\v ';

// Not fc.double(), which draws from the representations: nearly all of its numbers are close to 0.
const fraction = fc.nat(9_999).map((n) => n / 10_000);

const statusLine = fc
  .tuple(
    fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'),
    fc.constantFrom(200, 200, 201, 204, 304, 404, 500, 600),
    fc.constantFrom(' OK', ' ', '', ' Not Found \xe9'),
  )
  .map(([version, status, reason]) => `${version} ${status}${reason}`);

const interim = fc
  .tuple(fc.constantFrom('HTTP/1.1 100 Continue', 'HTTP/1.1 103 Early Hints'), fields)
  .map(([line, more]) => `${[line, ...more].join('\r\n')}\r\n\r\n`);

const extension = fc
  .tuple(token, fc.constantFrom('', '=a', '="b;\\"c"'))
  .map(([name, rest]) => `;${name}${rest}`);

const chunk = fc
  .tuple(
    fc.stringMatching(/^[a-z\r\n]{1,30}$/),
    fc.option(extension, { nil: '', freq: 5 }),
    fc.boolean(),
  )
  .map(([text, ext, upper]) => {
    const size = text.length.toString(16);
    return `${upper ? size.toUpperCase() : size}${ext}\r\n${text}\r\n`;
  });

const chunkedBody = fc
  .tuple(fc.array(chunk, { maxLength: 6 }), fc.array(fieldLine, { maxLength: 2 }))
  .map(
    ([chunks, trailers]) =>
      `${chunks.join('')}0\r\n${trailers.map((t) => `${t}\r\n`).join('')}\r\n`,
  );

const framed = fc.oneof(
  content.map((text) => ({ lines: [`Content-Length: ${text.length}`], body: text })),
  chunkedBody.map((text) => ({ lines: ['Transfer-Encoding: chunked'], body: text })),
  content.map((text) => ({ lines: [] as string[], body: text })),
);

/** A legal response with what may stand before it; one character per byte. */
export const legalResponse = fc
  .tuple(fc.array(interim, { maxLength: 2 }), statusLine, fields, framed, fields)
  .map(([before, line, some, { lines, body }, more]) => {
    const isBodyless = / (?:204|304)/.test(line);
    const head = [line, ...some, ...lines, ...more].join('\r\n');
    return `${before.join('')}${head}\r\n\r\n${isBodyless ? '' : body}`;
  });

/** The same with some characters replaced, put in or taken out. */
export const spoiledResponse = fc
  .tuple(
    legalResponse,
    fc.array(fc.tuple(fraction, fc.nat(SPOILERS.length - 1), fc.nat(2)), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([text, spoils]) => {
    let spoiled = text;
    for (const [where, which, how] of spoils) {
      const at = Math.floor(where * spoiled.length);
      const put = how === 2 ? '' : (SPOILERS[which] ?? '');
      spoiled = spoiled.slice(0, at) + put + spoiled.slice(how === 1 ? at : at + 1);
    }
    return spoiled;
  });

/** Where the network cuts, as fractions of the whole. */
export const cuts = fc.array(fraction, { maxLength: 6 });

export function cutAt(text: string, fractions: readonly number[]): readonly Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const places = [...new Set(fractions.map((f) => Math.floor(f * bytes.length)))].sort(
    (a, b) => a - b,
  );
  return [0, ...places].map((from, n) => bytes.subarray(from, places[n] ?? bytes.length));
}

/** What may stand behind a message. */
export const behind = fc.constantFrom('', '', '\0', '\r\n', '0\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n');

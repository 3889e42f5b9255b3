// Node's own parser (llhttp), as an oracle: what a response is made of when another reader takes it apart.
import { createRequire } from 'node:module';

/** What one reader makes of a connection's bytes, up to the end of the first final response. */
export interface ReadResponse {
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly string[];
  readonly content: string;
  readonly isWhole: boolean;
}

type Callback = (...told: never[]) => unknown;

interface NodeParser {
  [event: number]: Callback;
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
}

interface ParserClass {
  new (): NodeParser;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as {
  readonly HTTPParser: ParserClass;
};

/** No content follows: what a client says of the response to a HEAD request. */
const SKIP_BODY = 1;

/**
 * @param closes the connection ends behind the last piece
 * @returns null when llhttp refuses the bytes before the first final response is whole
 */
export function readByLlhttp(
  pieces: readonly Buffer[],
  method: string,
  closes: boolean,
): ReadResponse | null {
  let fields: string[] = [];
  let head: Omit<ReadResponse, 'content' | 'isWhole'> | null = null;
  let content = '';
  let isWhole = false;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.RESPONSE, {});
  const on = (event: number, callback: (...told: unknown[]) => unknown): void => {
    parser[event] = callback as Callback;
  };
  on(HTTPParser.kOnHeaders, (more) => {
    fields.push(...(more as string[]));
  });
  on(HTTPParser.kOnHeadersComplete, (_major, _minor, more, _method, _url, status, reason) => {
    fields.push(...((more as string[] | undefined) ?? []));
    if (head === null && (status as number) >= 200)
      head = { status: status as number, reason: reason as string, fields };
    fields = [];
    return method === 'HEAD' ? SKIP_BODY : 0;
  });
  on(HTTPParser.kOnBody, (piece) => {
    if (!isWhole) content += (piece as Buffer).toString('latin1');
  });
  on(HTTPParser.kOnMessageComplete, () => {
    fields = [];
    if (head !== null) isWhole = true;
  });
  let isRefused = false;
  for (const piece of pieces) {
    if (isWhole || isRefused) break;
    isRefused = parser.execute(piece) instanceof Error;
  }
  if (!isWhole && !isRefused && closes) isRefused = parser.finish() instanceof Error;
  const read = head as Omit<ReadResponse, 'content' | 'isWhole'> | null;
  if (read === null || (isRefused && !isWhole)) return null;
  return { ...read, content, isWhole };
}

/** @returns how many bytes the first final response takes; null when it does not end within them */
export function endByLlhttp(bytes: Buffer, method: string): number | null {
  let isFinal = false;
  let isOver = false;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.RESPONSE, {});
  parser[HTTPParser.kOnHeaders] = () => {};
  parser[HTTPParser.kOnHeadersComplete] = ((...told: unknown[]) => {
    isFinal = (told[5] as number) >= 200;
    return method === 'HEAD' ? SKIP_BODY : 0;
  }) as Callback;
  parser[HTTPParser.kOnBody] = () => {};
  parser[HTTPParser.kOnMessageComplete] = () => {
    isOver ||= isFinal;
  };
  for (let at = 0; at < bytes.length; at++) {
    // One at a time: it goes on behind a message's end within what it is given, and does not tell where that was.
    if (parser.execute(bytes.subarray(at, at + 1)) instanceof Error) return null;
    if (isOver) return at + 1;
  }
  return null;
}

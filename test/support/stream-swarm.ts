/**
 * A lean process that is both ends of many event streams at once: the upstream that sends numbered events at a pace, and
 * the clients that check them. Raw sockets and one timer, because a client library per stream would be the bottleneck.
 * Run by test/long/many-streams.test.ts: prints the upstream's port, then, told the gateway's port on stdin, a JSON line.
 * With a virtual key, streams are metered: the upstream reports usage in an event of its own, which no client may see.
 */

import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const [streams = 0, events = 0, gapMs = 0] = process.argv.slice(2, 5).map(Number);
const key = process.argv[5] ?? '';
const event = (index: number): string => `data: {"n":${index}}\n\n`;
const chunk = (index: number): string =>
  `${event(index).length.toString(16)}\r\n${event(index)}\r\n`;
const REPORT =
  'data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n';
const LAST = key === '' ? '0\r\n\r\n' : `${REPORT.length.toString(16)}\r\n${REPORT}\r\n0\r\n\r\n`;
const BODY = '{"model":"m","stream":true}';
const REQUEST =
  key === ''
    ? 'GET /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n\r\n'
    : `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
const WHOLE = Array.from({ length: events }, (_, index) => event(index)).join('');

interface Sending {
  readonly write: (bytes: string) => void;
  sent: number;
}
const sending = new Set<Sending>();
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', () => {
    socket.write(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    sending.add({ write: (bytes) => void socket.write(bytes), sent: 0 });
  });
});
setInterval(() => {
  for (const stream of sending) {
    stream.write(chunk(stream.sent++));
    if (stream.sent < events) continue;
    stream.write(LAST);
    sending.delete(stream);
  }
}, gapMs);

/** The text of a chunked body as it stands in `raw`, or null when its framing is not finished. */
function dechunked(raw: string): string | null {
  let at = raw.indexOf('\r\n\r\n') + 4;
  let text = '';
  for (;;) {
    const end = raw.indexOf('\r\n', at);
    if (end === -1) return null;
    const size = Number.parseInt(raw.slice(at, end), 16);
    if (size === 0) return text;
    text += raw.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}

/** What a parser of event streams makes of it: the comment by which a late head leaves is nothing to it. */
function textOf(raw: string): string | null {
  return dechunked(raw)?.replace(/^:\n/, '') ?? null;
}

const counts = { exact: 0, wrong: 0, failed: 0 };
function client(port: number, done: () => void): void {
  let raw = '';
  const socket = connect({ port, host: '127.0.0.1' });
  socket.setEncoding('latin1');
  socket.on('connect', () => {
    socket.write(REQUEST);
  });
  let over = false;
  const finish = (kind: keyof typeof counts): void => {
    if (over) return;
    over = true;
    counts[kind]++;
    socket.destroy();
    done();
  };
  socket.on('data', (text: string) => {
    raw += text;
    if (raw.endsWith('\r\n0\r\n\r\n')) finish(textOf(raw) === WHOLE ? 'exact' : 'wrong');
  });
  socket.on('error', () => finish('failed'));
  socket.on('close', () => finish('failed'));
}

/** Clients that connect in one go, so that no accept queue overflows. */
const BATCH = 100;
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  process.stdout.write(`${(server.address() as { port: number }).port}\n`);
});
createInterface(process.stdin).once('line', (line) => {
  let started = 0;
  const more = setInterval(() => {
    for (let i = 0; i < BATCH && started < streams; i++, started++) {
      client(Number(line), () => {
        if (counts.exact + counts.wrong + counts.failed < streams) return;
        process.stdout.write(`${JSON.stringify(counts)}\n`);
        process.exit(0);
      });
    }
    if (started >= streams) clearInterval(more);
  }, 20);
});

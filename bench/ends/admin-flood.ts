/**
 * Somebody who floods the admin listener, and people who look: `node admin-flood.ts PORT TOKEN SCREENS RATE`. Live screens are held
 * open, each asks for providers every five seconds as its page does, and RATE calls a second are written whether or not anything
 * comes back. It ends with its stdin, and then says what was sent and what came.
 */

import { connect, type Socket } from 'node:net';

const [port = '', token = '', screens = '0', rate = '0'] = process.argv.slice(2);
const CONNECTIONS = 64;
const TICK_MS = 10;
/** A connection that is not read is not filled for ever. */
const UNREAD_MAX_BYTES = 65_536;
const POLL_MS = 5_000;

const call = (path: string): string =>
  `GET /admin/v1${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`;
const said = { written: 0, unwritten: 0, answered: 0, refused: 0, cut: 0, events: 0 };

/** A connection that is made again when it is cut. */
class Line {
  #socket: Socket | null = null;
  readonly #onData: (text: string) => void;
  readonly #first: string;

  constructor(onData: (text: string) => void, first = '') {
    this.#onData = onData;
    this.#first = first;
    this.#open();
  }

  write(text: string): boolean {
    if (this.#socket === null || this.#socket.writableLength > UNREAD_MAX_BYTES) return false;
    this.#socket.write(text);
    return true;
  }

  #open(): void {
    const socket = connect(Number(port), '127.0.0.1');
    socket.setEncoding('latin1');
    socket.on('connect', () => {
      this.#socket = socket;
      if (this.#first !== '') socket.write(this.#first);
    });
    socket.on('data', this.#onData);
    socket.on('error', () => {});
    socket.on('close', () => {
      said.cut++;
      this.#socket = null;
      setTimeout(() => this.#open(), TICK_MS).unref();
    });
  }
}

const count = (text: string): void => {
  said.answered += text.split('HTTP/1.1 2').length - 1;
  said.refused += text.split('HTTP/1.1 4').length + text.split('HTTP/1.1 5').length - 2;
};
for (let at = 0; at < Number(screens); at++) {
  new Line((text) => {
    said.events += text.split('event: now').length - 1;
  }, call('/live'));
  const polls = new Line(count);
  const poll = (): void => void polls.write(call('/providers'));
  setTimeout(
    () => {
      poll();
      setInterval(poll, POLL_MS);
    },
    (at / Number(screens)) * POLL_MS,
  );
}
const flood = Number(rate) === 0 ? [] : Array.from({ length: CONNECTIONS }, () => new Line(count));
let due = 0;
let next = 0;
const beganMs = performance.now();
if (flood.length > 0)
  setInterval(() => {
    const wanted = ((performance.now() - beganMs) * Number(rate)) / 1_000;
    for (; due < wanted; due++) {
      const isWritten = flood[next++ % CONNECTIONS]?.write(call('/node')) === true;
      if (isWritten) said.written++;
      else said.unwritten++;
    }
  }, TICK_MS);

process.stdin.resume();
process.stdin.on('end', () => {
  const seconds = (performance.now() - beganMs) / 1_000;
  process.stdout.write(`${JSON.stringify({ ...said, seconds })}\n`, () => process.exit(0));
});

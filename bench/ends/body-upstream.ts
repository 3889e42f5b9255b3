/**
 * An upstream for bodies of any size: reads a request to its end, then answers with as many bytes as it was told.
 * node bench/ends/body-upstream.ts, driven by jobs on stdin (`bench/load.ts`).
 */

import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { type Answer, answerJobs } from './jobs.ts';

const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';
let response = Buffer.alloc(0);
/** Body bytes of all requests. */
let received = 0;

/** The end of one request after the other on a kept connection. */
class RequestReader {
  #head = '';
  /** Bytes of body still to come; -1 while the head is not whole, -2 for a chunked body. */
  #missing = -1;

  /** @returns whether a request ended with these bytes; nobody pipelines here */
  push(data: Buffer): boolean {
    let bytes = data.length;
    if (this.#missing === -1) {
      this.#head += data.toString('latin1');
      const end = this.#head.indexOf(HEAD_END);
      if (end === -1) return false;
      bytes = this.#head.length - end - HEAD_END.length;
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end + 2));
      this.#missing = length === null ? -2 : Number(length[1]);
      this.#head = '';
    }
    received += bytes;
    if (this.#missing === -2) {
      if (!data.subarray(-LAST_CHUNK.length).equals(Buffer.from(LAST_CHUNK))) return false;
    } else {
      this.#missing -= bytes;
      if (this.#missing > 0) return false;
    }
    this.#missing = -1;
    return true;
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  const reader = new RequestReader();
  socket.on('error', () => {});
  socket.on('data', (data) => {
    if (reader.push(data)) socket.write(response);
  });
});

function listen(): Promise<Answer> {
  return new Promise((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1' }, () =>
      resolve({ port: (server.address() as AddressInfo).port }),
    );
  });
}

function answer(file: string): Answer {
  const body = readFileSync(file);
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}${HEAD_END}`;
  response = Buffer.concat([Buffer.from(head), body]);
  return { bytes: body.length };
}

answerJobs({
  listen,
  answer: ({ file }) => answer(String(file)),
  received: () => ({ bytes: received }),
});

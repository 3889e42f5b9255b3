import { connect, type Socket } from 'node:net';

/** Read by all lanes of a process in turn: nothing is kept of it beyond a callback. */
const READ = Buffer.alloc(65_536);
const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

export interface LaneOwner {
  /** The response to the lane's request is whole. */
  answered(lane: Lane, status: number): void;
  /** The connection ended; true when a request was under way. */
  closed(lane: Lane, wasBusy: boolean): void;
}

/**
 * One kept connection that carries one request after the other. Reads just as much of HTTP/1.1 as it takes to find the
 * end of a small response: what is measured is the peer, not the generator.
 */
export class Lane {
  readonly #socket: Socket;
  readonly #owner: LaneOwner;
  #isBusy = false;
  #text = '';
  #status = 0;
  /** Bytes of body still to come; -1 while the head is not whole, -2 for a chunked body. */
  #missing = -1;
  /** The number of its request, as its owner counts. */
  index = -1;

  constructor(port: number, owner: LaneOwner, connected: (lane: Lane) => void) {
    this.#owner = owner;
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: READ,
        callback: (bytes, buffer) => {
          this.#read(buffer, bytes);
          return true;
        },
      },
    });
    this.#socket.once('connect', () => connected(this));
    this.#socket.on('error', () => {});
    this.#socket.once('close', () => {
      const wasBusy = this.#isBusy;
      this.#isBusy = false;
      owner.closed(this, wasBusy);
    });
  }

  send(request: Buffer, index: number): void {
    this.index = index;
    this.#isBusy = true;
    this.#missing = -1;
    this.#text = '';
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(buffer: Uint8Array, bytes: number): void {
    if (!this.#isBusy) return;
    if (this.#missing === -1) {
      this.#text += Buffer.from(buffer.buffer, buffer.byteOffset, bytes).toString('latin1');
      this.#readHead();
    } else if (this.#missing === -2) {
      const text = Buffer.from(buffer.buffer, buffer.byteOffset, bytes).toString('latin1');
      this.#text = this.#text.slice(-LAST_CHUNK.length) + text;
      if (this.#text.endsWith(LAST_CHUNK)) this.#end();
    } else {
      this.#missing -= bytes;
      if (this.#missing === 0) this.#end();
    }
  }

  #readHead(): void {
    const end = this.#text.indexOf(HEAD_END);
    if (end === -1) return;
    this.#status = Number(this.#text.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, end + 2));
    const body = this.#text.length - end - HEAD_END.length;
    if (length === null) {
      this.#missing = -2;
      if (this.#text.endsWith(LAST_CHUNK)) this.#end();
    } else {
      this.#missing = Number(length[1]) - body;
      if (this.#missing === 0) this.#end();
    }
  }

  #end(): void {
    this.#isBusy = false;
    this.#owner.answered(this, this.#status);
  }
}

// In front of a TLS server: one whose keys or certificate changed, and that no longer goes on with a session of before.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

// A ClientHello, as far as it has to be read (RFC 8446 §4.1.2, §4.2.11).
const RECORD_BYTES = 5;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Behind the handshake's type and length, the version and the random. */
const SESSION_ID_AT = RECORD_BYTES + 4 + 2 + 32;
const PRE_SHARED_KEY = 41;

export class SessionGate {
  /** Where it breaks off with a client that offers a session: at once, or behind a handshake that looked whole. */
  refuses: 'nobody' | 'hello' | 'request' | 'in silence' = 'nobody';
  /** Clients whose session was met with silence. */
  silenced = 0;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  constructor(port: number) {
    this.#server = createServer((near) => this.#forward(near, connect(port, '127.0.0.1')));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  close(): void {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
  }

  #forward(near: Socket, far: Socket): void {
    for (const socket of [near, far]) {
      this.#open.add(socket);
      socket.on('error', () => {}).on('close', () => this.#open.delete(socket));
    }
    far.pipe(near);
    let flights = 0;
    let isResumed = false;
    near.on('data', (data) => {
      isResumed ||= resumes(data);
      flights++;
      const isRefused = this.refuses === 'hello' || (this.refuses === 'request' && flights > 1);
      if (isResumed && this.refuses === 'in silence') this.silenced++;
      else if (isResumed && isRefused) near.resetAndDestroy();
      else far.write(data);
    });
    near.on('close', () => far.destroy());
  }
}

/** Whether these bytes are a ClientHello that offers a session to resume. */
function resumes(bytes: Buffer): boolean {
  if (bytes[0] !== HANDSHAKE || bytes[RECORD_BYTES] !== CLIENT_HELLO) return false;
  let at = SESSION_ID_AT + 1 + bytes.readUInt8(SESSION_ID_AT);
  at += 2 + bytes.readUInt16BE(at);
  at += 1 + bytes.readUInt8(at);
  for (at += 2; at + 4 <= bytes.length; at += 4 + bytes.readUInt16BE(at + 2))
    if (bytes.readUInt16BE(at) === PRE_SHARED_KEY) return true;
  return false;
}

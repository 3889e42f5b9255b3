import { connect, createServer, type Socket } from 'node:net';

interface WireOptions {
  /** Carries no faster than this from the target; 0 = as fast as it comes. Bytes per second. */
  readonly bytesPerSecond?: number;
}

/** A wire to a server on this machine that can be cut without a word, closed, and joined again. */
export class Wire {
  /** When each connection was tried, in milliseconds of `performance.now()`. */
  readonly tries: number[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => this.#accept(near));
  readonly #target: number;
  readonly #rate: number;
  #state: 'joined' | 'cut' | 'refusing' = 'joined';

  constructor(target: number, { bytesPerSecond = 0 }: WireOptions = {}) {
    this.#target = target;
    this.#rate = bytesPerSecond;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  /** Connections stay open, and nothing comes through. */
  cut(): void {
    this.#state = 'cut';
    for (const socket of this.#sockets) socket.pause();
  }

  /** Every connection is closed, as is each one that is tried. */
  refuse(): void {
    this.#state = 'refusing';
    this.#closeAll();
  }

  /** What was cut or refused is closed; what comes goes through. */
  join(): void {
    this.#state = 'joined';
    this.#closeAll();
  }

  close(): void {
    this.#closeAll();
    this.#server.close();
  }

  #closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(near: Socket): void {
    this.tries.push(performance.now());
    if (this.#state === 'refusing') {
      near.on('error', () => {}).destroy();
      return;
    }
    const far = connect(this.#target, '127.0.0.1');
    this.#carry(near, far, 0);
    this.#carry(far, near, this.#rate);
  }

  #carry(from: Socket, to: Socket, rate: number): void {
    this.#sockets.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      to.destroy();
      this.#sockets.delete(from);
    });
    from.on('data', (data) => {
      to.write(data);
      if (rate === 0) return;
      from.pause();
      setTimeout(() => this.#state === 'joined' && from.resume(), (data.length / rate) * 1_000);
    });
    if (this.#state === 'cut') from.pause();
  }
}

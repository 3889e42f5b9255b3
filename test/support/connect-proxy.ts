import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** What a proxy does with whoever comes. */
export type ProxyMood =
  /** Lets everybody through to the names it knows. */
  | 'open'
  /** Takes the connection and says nothing. */
  | 'silent'
  /** Begins to answer, and never ends its head. */
  | 'dribbling'
  /** Closes when it is asked. */
  | 'closing'
  /** Answers what is no HTTP. */
  | 'babbling';

interface ProxyOptions {
  /** Names, and the loopback ports behind them: nobody else knows these. */
  readonly names: Readonly<Record<string, number>>;
  /** `user:password` that it wants. */
  readonly credentials?: string;
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** An HTTP proxy on raw sockets: CONNECT (RFC 9110 §9.3.6), and requests in absolute form (RFC 9112 §3.2.2). */
export class ConnectProxy {
  /** Request lines, in order. */
  readonly asked: string[] = [];
  /** Request heads, whole. */
  readonly heads: string[] = [];
  /** Sockets of its clients that are open. */
  readonly clients = new Set<Socket>();
  mood: ProxyMood = 'open';
  readonly #options: ProxyOptions;
  readonly #server: Server;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const accept = (socket: Socket): void => this.#accept(socket);
    this.#server =
      options.tls === undefined ? createServer(accept) : createTlsServer(options.tls, accept);
    this.#server.on('tlsClientError', () => {});
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.clients) socket.destroy();
  }

  #accept(client: Socket): void {
    this.clients.add(client);
    client.on('error', () => {}).on('close', () => this.clients.delete(client));
    let text = '';
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      client.off('data', onData);
      this.#serve(client, text.slice(0, end), text.slice(end + 4));
    };
    client.on('data', onData);
  }

  #serve(client: Socket, head: string, rest: string): void {
    const [line = ''] = head.split('\r\n');
    this.asked.push(line);
    this.heads.push(head);
    const { mood } = this;
    if (mood === 'silent') return;
    if (mood === 'dribbling') {
      client.write('HTTP/1.1 200 OK\r\nx-slow: ');
      return;
    }
    if (mood === 'closing') {
      client.end();
      return;
    }
    if (mood === 'babbling') {
      client.end('220 mail.test ESMTP\r\n\r\n');
      return;
    }
    const { credentials } = this.#options;
    const shown = /^proxy-authorization: Basic (\S+)$/im.exec(head)?.[1];
    if (credentials !== undefined && shown !== Buffer.from(credentials).toString('base64')) {
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="p"\r\ncontent-length: 0\r\n\r\n',
      );
      return;
    }
    const tunnel = /^CONNECT ([^:]+):\d+ HTTP\/1\.1$/.exec(line);
    const plain = /^(\S+) http:\/\/([^/:]+)(?::\d+)?(\/\S*) HTTP\/1\.1$/.exec(line);
    const port = this.#options.names[tunnel?.[1] ?? plain?.[2] ?? ''];
    if (port === undefined) {
      client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const provider = connect(port, '127.0.0.1', () => {
      if (tunnel !== null) client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      else {
        const [, method = '', , path = ''] = plain ?? [];
        const lines = head.split('\r\n').slice(1);
        const kept = lines.filter((field) => !/^proxy-/i.test(field));
        provider.write(`${method} ${path} HTTP/1.1\r\n${kept.join('\r\n')}\r\n\r\n`, 'latin1');
      }
      if (rest !== '') provider.write(rest, 'latin1');
      client.pipe(provider).pipe(client);
    });
    provider.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.on('close', () => provider.destroy());
  }
}

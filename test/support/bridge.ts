import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest } from 'node:http2';
import { createServer as createHttpsServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SelfSigned } from './tls.ts';

/** A TLS server before a plain one of HTTP/1.1, so that one provider can be reached in every way. */
export interface Bridge {
  readonly port: number;
  /** HTTP versions of the requests that came, in order. */
  readonly versions: readonly string[];
  /** Connections that were accepted. */
  readonly connections: number;
  close(): void;
}

/** What both kinds of responses have. */
interface Answer {
  writeHead(status: number, fields: OutgoingHttpHeaders): unknown;
  write(piece: Buffer): boolean;
  end(): unknown;
  destroy(): unknown;
  on(event: 'close', then: () => void): unknown;
}

/** Fields that HTTP/2 does not know (RFC 9113 §8.2.2). */
const OF_A_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding']);

function passingTo(port: number, versions: string[]) {
  return (asked: IncomingMessage | Http2ServerRequest, answer: Answer): void => {
    versions.push(asked.httpVersion);
    const fields = Object.entries(asked.headers).filter(([name]) => !name.startsWith(':'));
    const { method, url: path } = asked;
    const on = request({
      port,
      host: '127.0.0.1',
      method,
      path,
      headers: Object.fromEntries(fields),
    });
    on.on('response', (response) => {
      const told = Object.entries(response.headers).filter(([name]) => !OF_A_CONNECTION.has(name));
      answer.writeHead(response.statusCode ?? 500, Object.fromEntries(told));
      response.on('data', (piece: Buffer) => answer.write(piece));
      // What the provider cuts is cut here, too.
      response.on('end', () => (response.complete ? answer.end() : answer.destroy()));
      response.on('error', () => answer.destroy());
    });
    on.on('error', () => answer.destroy());
    asked.pipe(on);
    answer.on('close', () => on.destroy());
  };
}

async function listening(
  server: Server | Http2SecureServer,
  versions: readonly string[],
): Promise<Bridge> {
  let connections = 0;
  server.on('secureConnection', () => connections++);
  server.on('tlsClientError', () => {}).on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    versions,
    get connections() {
      return connections;
    },
    close: () => server.close(),
  };
}

/** HTTP/2 and nothing else. */
export async function http2Only(tls: SelfSigned, port: number): Promise<Bridge> {
  const versions: string[] = [];
  const handler = passingTo(port, versions);
  return await listening(createSecureServer({ ...tls, allowHTTP1: false }, handler), versions);
}

/** HTTP/1.1 in TLS. @param client whose certificate must be shown; null = nobody's */
export async function secured(
  tls: SelfSigned,
  port: number,
  client: SelfSigned | null,
): Promise<Bridge> {
  const versions: string[] = [];
  const asks =
    client === null ? {} : { requestCert: true, rejectUnauthorized: true, ca: client.cert };
  return await listening(
    createHttpsServer({ ...tls, ...asks }, passingTo(port, versions)),
    versions,
  );
}

/** A request of the console's to the gateway that it is part of, as any client would send it: what it comes to is what runs. */

import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import type { ListenAddress } from '../config/config-document.ts';

/** How long all of it may take, in milliseconds: less than the main thread waits for the answer. */
const WHOLE_MS = 20_000;

/** Of an answer, what is read, in bytes: the question wants one word. */
const ANSWER_MAX_BYTES = 262_144;

/** Where a listener that binds to any address is asked. */
const ANY: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export interface OwnAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly field: (name: string) => string | null;
  readonly text: string;
  /** Whether its end came as it should: not cut, not larger than is read, not too late. */
  readonly isWhole: boolean;
  /** To its end, in milliseconds. */
  readonly tookMs: number;
}

/**
 * @param isTls whether the client listener speaks TLS; its certificate names the host that clients know, which is not this one
 * @throws Error when nothing answers
 */
export function askedOfUs(
  { host, port }: ListenAddress,
  isTls: boolean,
  path: string,
  fields: Readonly<Record<string, string>>,
  body: string,
): Promise<OwnAnswer> {
  const to = {
    host: ANY[host] ?? host,
    port,
    path,
    method: 'POST',
    headers: { ...fields, 'content-length': Buffer.byteLength(body) },
    agent: false,
    signal: AbortSignal.timeout(WHOLE_MS),
  };
  const beganMs = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = isTls ? requestTls({ ...to, rejectUnauthorized: false }) : requestPlain(to);
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      const end = (isWhole: boolean): void =>
        resolve({
          status: response.statusCode ?? 0,
          field: (name) => response.headers[name]?.toString() ?? null,
          text,
          isWhole,
          tookMs: Math.round(performance.now() - beganMs),
        });
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > ANSWER_MAX_BYTES) response.destroy();
      });
      response.once('error', () => end(false));
      response.once('close', () => end(response.complete));
    });
    outgoing.end(body);
  });
}

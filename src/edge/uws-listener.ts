import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import { Ticker } from '../ticker.ts';
import { boundClientBuffers } from './client-buffers.ts';
import { type Door, type ListenOptions, NO_BODY, type Receive } from './door.ts';
import { HEAD_TICK_MS } from './late-head.ts';
import { ClientBody } from './request-body.ts';
import { copyRequestHead } from './request-head.ts';
import { UwsResponseWriter } from './response-writer.ts';

type FrontEnd = typeof import('uWebSockets.js');

/**
 * Loads the native binary.
 * @throws Error with one line that says what to do when it does not fit this machine
 */
export async function loadFrontEnd(): Promise<FrontEnd> {
  try {
    const uws = await import('uWebSockets.js');
    // Not in its typings: takes the `uWebSockets: 20` field off every response.
    (uws as FrontEnd & { _cfg(option: string): void })._cfg('silent');
    return uws;
  } catch (cause) {
    throw new Error(
      `uWebSockets.js has no binary that loads here (Node ${process.version}, ABI ${process.versions.modules}, ` +
        `${process.platform}-${process.arch}). Run Sluice with "npm start", which uses the Node 22 in node_modules; ` +
        'on Linux it needs glibc 2.27 or newer.',
      { cause },
    );
  }
}

/**
 * Listens on the client port. Several workers may share one.
 * @throws Error when the port cannot be bound
 */
export function openDoor(
  uws: FrontEnd,
  options: ListenOptions,
  ticker: Ticker,
  receive: Receive,
): Door {
  const { tls } = options;
  const app: TemplatedApp =
    tls === null
      ? uws.App()
      : uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
  const heads = new Ticker(HEAD_TICK_MS);
  app.any('/*', (res, req) => answer(res, req, options, ticker, heads, receive));

  let socket: us_listen_socket | false = false;
  app.listen(options.host, options.port, (listening) => {
    socket = listening;
  });
  if (socket === false) throw new Error(`Cannot listen on ${options.host}:${options.port}.`);
  boundClientBuffers(options.port);
  return {
    stopListening() {
      if (socket !== false) uws.us_listen_socket_close(socket);
      socket = false;
    },
    close() {
      app.close();
    },
  };
}

/** One request. The functions made here are what the front end forces: it knows handlers, not objects. */
function answer(
  res: HttpResponse,
  req: HttpRequest,
  { timeouts, slips }: ListenOptions,
  ticker: Ticker,
  heads: Ticker,
  receive: Receive,
): void {
  const writer = new UwsResponseWriter(res, ticker, heads, timeouts.clientStallTimeoutMs);
  // First of all: a handler that returns, or throws, without one ends the process.
  res.onAborted(() => writer.onAborted());
  try {
    const head = copyRequestHead(req);
    const { framing } = head;
    const bears = framing.chunked || framing.contentLength > 0;
    let body = bears ? new ClientBody(res, ticker, timeouts, slips) : null;
    const events = receive(head, body ?? NO_BODY, writer);
    writer.bind(events, body);
    body?.bind(events, writer);
    if (body === null || !writer.open) return;
    res.onData((chunk, last) => {
      // After the response ended, the rest of an upload is read and thrown away: closing instead would reset the
      // connection and could swallow the answer on its way.
      if (!writer.open || body === null) return;
      try {
        const piece = body.take(chunk, last);
        if (body.isOver) {
          // Nothing of it is left to be done: its response may stream for an hour.
          body = null;
          writer.forgetBody();
        }
        events.onBodyChunk(piece, last);
      } catch (error) {
        events.onBroken(error);
      }
    });
  } catch (error) {
    writer.onBroken(error);
  }
}

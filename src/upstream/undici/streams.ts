import { subscribe } from 'node:diagnostics_channel';
import type { ClientHttp2Stream } from 'node:http2';

/** Whose request is about to become a stream of HTTP/2. */
export interface StreamOwner {
  onStream(stream: ClientHttp2Stream): void;
}

let owner: StreamOwner | null = null;
let isWatching = false;

/**
 * Streams of HTTP/2 are shown to whose they are from now on. undici keeps them to itself, and takes one that the server
 * reset in the middle of its content for one that ended: Node ends the readable side of both. Only the stream tells
 * (`rstCode`), and Node's channel shows it in the turn in which it is made.
 */
export function watchStreams(): void {
  if (isWatching) return;
  isWatching = true;
  subscribe('http2.client.stream.created', (message) => {
    const { stream } = message as { readonly stream: ClientHttp2Stream };
    owner?.onStream(stream);
    owner = null;
  });
}

/** The next stream of this turn is this one's: undici starts a request and makes its stream in one call. */
export function nextStreamIs(next: StreamOwner | null): void {
  owner = next;
}

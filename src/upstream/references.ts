import type { Provider } from '../providers/providers.ts';
import { hostField } from './outgoing-head.ts';

/**
 * A provider's URI reference (RFC 3986 §4.1: `Location`, `Content-Location`, the targets of `Link`) as a client of the
 * gateway can follow it: resolved against what the provider was asked for, and behind the gateway's prefix when it stays
 * with the provider. A client that resolved it itself would leave the prefix out, and tell its key to another provider.
 * @param reference as on the wire: one character per byte
 * @param target path and query that the provider was asked for
 * @returns null when it leads elsewhere, or is none
 */
export function followable(reference: string, provider: Provider, target: string): string | null {
  const scheme = provider.authority.tls ? 'https' : 'http';
  // As browsers and fetch read it (WHATWG URL), backslashes and tabs included; what comes out is plain to every reader.
  const url = URL.parse(
    Buffer.from(reference, 'latin1').toString(),
    `${scheme}://${hostField(provider)}${target}`,
  );
  if (url === null || !isAt(provider, url)) return null;
  return `/${provider.name}${url.pathname}${url.search}${url.hash}`;
}

/** A provider behind a TLS terminator may believe that it is asked in plaintext: its own Host says enough. */
function isAt(provider: Provider, { protocol, hostname, host, port }: URL): boolean {
  if (protocol !== 'https:' && protocol !== 'http:') return false;
  if (host === hostField(provider).toLowerCase()) return true;
  const { authority } = provider;
  const name = authority.host.includes(':') ? `[${authority.host}]` : authority.host;
  const known = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  return hostname.replace(/\.$/, '') === name.toLowerCase() && known === authority.port;
}

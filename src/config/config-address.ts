import { isIP, isIPv6 } from 'node:net';
import { parseAuthority } from '../providers/providers.ts';

/** Underscores are no part of RFC 1123 names, but container networks give names that hold them. */
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}))*$/;

const MAX_PORT = 65_535;

/**
 * @param text `host:port` or `[IPv6]:port`; port 0 = any free port
 * @returns the host without brackets, or null when the text is no such address
 */
export function parseListen(text: string): { readonly host: string; readonly port: number } | null {
  const match = /^(\[[^\]]*\]|[^:[\]]+):(0|[1-9]\d{0,4})$/.exec(text);
  const [, host = '', digits = ''] = match ?? [];
  const port = Number(digits);
  if (match === null || !isHost(host) || port > MAX_PORT) return null;
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

/** The text that `parseListen` reads back to the same address. */
export function formatListen({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether a text is an authority that the provider table takes and that names a possible host. */
export function isAuthority(text: string): boolean {
  const authority = parseAuthority(text);
  if (authority === null) return false;
  return isHost(text.includes('[') ? `[${authority.host}]` : authority.host);
}

/** Wherever a listener listens, and not at one address of it. */
const ANYWHERE = new Set(['0.0.0.0', '::']);

/** The authority under which somebody on this machine reaches a listener, as it stands in a URL. */
export function authorityHere(address: { readonly host: string; readonly port: number }): string {
  const { host, port } = address;
  return ANYWHERE.has(host) ? `localhost:${port}` : formatListen(address);
}

function isHost(host: string): boolean {
  if (host.startsWith('[')) return isIPv6(host.slice(1, -1));
  if (isIP(host) === 4) return true;
  // A name whose last label is all digits is a misspelt IPv4 address (WHATWG URL, "ends in a number").
  return HOST_NAME.test(host) && !/(?:^|\.)\d+$/.test(host);
}

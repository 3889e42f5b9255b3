/**
 * Which proxy a provider is reached through, if any: the configuration, then the variables that every command line tool
 * knows. There is no standard for these; where curl (curl(1), "Environment") and undici's EnvHttpProxyAgent agree, so do
 * we: lower case wins over upper case, and there is no exception for loopback addresses but the one that NO_PROXY names.
 */

import { isIP } from 'node:net';
import { Secret } from '../secret.ts';
import type { Authority } from './providers.ts';

/** Where a proxy listens. */
export interface ProxyAddress extends Authority {
  /** Value of `proxy-authorization` (RFC 7617), from the URL's userinfo; null without one. */
  readonly authorization: Secret | null;
}

/**
 * @param text `http://[user[:password]@]host[:port]` or `https://…` (TLS to the proxy itself); a scheme that is left out
 *   is `http://`, as in curl's variables; a port that is left out is the scheme's own
 * @returns null when it is none of these, a SOCKS proxy among them
 */
export function parseProxyUrl(text: string): ProxyAddress | null {
  const url = urlOf(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null;
  if (url.hostname === '' || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return null;
  const tls = url.protocol === 'https:';
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port);
  if (port === 0) return null;
  const credentials = credentialsOf(url);
  if (credentials === undefined) return null;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    tls,
    authorization:
      credentials === null
        ? null
        : new Secret(`Basic ${Buffer.from(credentials).toString('base64')}`),
  };
}

function urlOf(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

/** @returns null without userinfo, undefined when it is not percent-encoded well */
function credentialsOf({ username, password }: URL): string | null | undefined {
  if (username === '' && password === '') return null;
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return undefined;
  }
}

/** The proxy as it may be shown: never with its password. */
export function shownProxy({ host, port, tls, authorization }: ProxyAddress): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'https' : 'http'}://${authorization === null ? '' : '***@'}${name}:${port}`;
}

/** A value and where it stands: a key of the configuration, or a variable. */
export interface Said {
  readonly value: string;
  readonly by: string;
}

/** What the configuration and the environment say about proxies; null where they say nothing. */
export interface ProxyRules {
  /** `proxy_url`: for all providers. */
  readonly configured: Said | null;
  readonly httpProxy: Said | null;
  readonly httpsProxy: Said | null;
  /** `no_proxy`, else the variable: hosts that are reached directly. */
  readonly noProxy: Said | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A variable in lower or upper case, lower case first; set to nothing counts as not set, as in curl. */
export function proxyVariable(
  env: Environment,
  name: 'http_proxy' | 'https_proxy' | 'no_proxy',
): Said | null {
  for (const by of [name, name.toUpperCase()]) {
    const value = env[by];
    if (value !== undefined && value !== '') return { value, by };
  }
  return null;
}

/** A URL of a proxy, or none, and why. */
interface ProxyChoice {
  readonly url: string | null;
  readonly because: string;
}

/**
 * @param own what is said for this provider alone: it wins, also over NO_PROXY
 * @param rules what is said for all
 */
export function chooseProxy(
  authority: Authority,
  own: Said | null,
  rules: ProxyRules,
): ProxyChoice {
  if (own !== null) return chosen(own);
  const { configured } = rules;
  if (configured?.value === 'none') return chosen(configured);
  const said = configured ?? (authority.tls ? rules.httpsProxy : rules.httpProxy);
  if (said === null) return { url: null, because: 'no proxy is configured' };
  const { noProxy } = rules;
  if (noProxy !== null && isExempt(authority, noProxy.value))
    return { url: null, because: `${noProxy.by} names it` };
  return chosen(said);
}

function chosen({ value, by }: Said): ProxyChoice {
  return { url: value === 'none' ? null : value, because: by };
}

/**
 * Whether a host is to be reached directly. Entries are separated by commas or spaces: `*` is every host; a name stands for
 * itself and the names below it, a dot or `*.` before it changes nothing; an address literal stands for itself, with
 * `/bits` for its network. Behind any of them `:port` names one port, as in Go and undici.
 */
export function isExempt({ host, port }: Authority, list: string): boolean {
  return list
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && matches(host.toLowerCase(), port, entry.toLowerCase()));
}

function matches(host: string, port: number, entry: string): boolean {
  if (entry === '*') return true;
  const [, bracketed, plain = '', only] =
    /^(?:\[([0-9a-f:.]+)\]|(.*?))(?::(\d+))?$/.exec(isIP(entry) === 6 ? `[${entry}]` : entry) ?? [];
  if (only !== undefined && Number(only) !== port) return false;
  const name = (bracketed ?? plain).replace(/^\*?\.|\.$/g, '');
  const [network = '', bits] = name.split('/');
  if (isIP(host) !== 0)
    return bits === undefined ? sameAddress(host, network) : isInside(host, network, Number(bits));
  return host.replace(/\.$/, '') === name || host.endsWith(`.${name}`);
}

function sameAddress(host: string, other: string): boolean {
  return isInside(host, other, isIP(other) === 6 ? 128 : 32);
}

/** Whether two literals of one family share their first bits (RFC 4632). */
function isInside(host: string, network: string, bits: number): boolean {
  const family = isIP(host);
  if (family === 0 || isIP(network) !== family) return false;
  const width = family === 4 ? 32 : 128;
  if (!Number.isInteger(bits) || bits < 0 || bits > width) return false;
  const shift = BigInt(width - bits);
  return numberOf(host) >> shift === numberOf(network) >> shift;
}

function numberOf(address: string): bigint {
  if (isIP(address) === 4)
    return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  // By the URL parser, which writes every literal in one way: eight groups but for one run of zeros.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const front = groups(head);
  const back = groups(tail ?? '');
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...(tail === undefined ? [] : zeros), ...back].reduce(
    (sum, part) => (sum << 16n) | BigInt(`0x${part}`),
    0n,
  );
}

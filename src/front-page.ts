/**
 * What the gateway shows to a person who opens its address in a browser: what it is, and the base URLs as that browser
 * reached it. Everybody else is told by a rejection. It holds no secret and no more than those rejections say; nothing
 * runs in it, and nothing is loaded from anywhere else.
 */

import { createHash } from 'node:crypto';
import type { Provider } from './providers/providers.ts';
import { fieldValue } from './wire/fields.ts';

/** What is read of a request. */
interface Asked {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly string[];
}

/** A whole small response: status line and fields without their last CRLF, and the body. */
interface OwnPage {
  readonly head: string;
  readonly body: string;
}

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}
h1{margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%}td{padding:.2rem 1rem .2rem 0;vertical-align:top}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{overflow-x:auto;padding:.75rem;border:1px solid #8886}`;

/** A gate that lets through what is asked of it. */
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#07a" d="M1 1h3v14H1zM12 1h3v14h-3zM5 1h6v6H5z"/><path fill="#4bd" d="M5 10h6v2H5zM5 13h6v2H5z"/></svg>
`;

// Inline, by hash: the page must be whole in one small response (CSP level 3, 6.7.3.3).
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');
const POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const PAGE_HEAD = `200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-security-policy: ${POLICY}\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n`;
const ICON_HEAD = `200 OK\r\ncontent-type: image/svg+xml\r\ncontent-security-policy: default-src 'none'\r\nx-content-type-options: nosniff\r\ncache-control: max-age=86400\r\n`;

/** Longest authority that is shown again, in characters: a name of 253 (RFC 1035 2.3.4) and a port. */
const AUTHORITY_MAX = 259;
/** A name or an address with a port, and nothing that HTML, a header or a shell could take for something else. */
const AUTHORITY = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/**
 * The gateway's own page for this request.
 * @param tls whether the listener speaks TLS; a proxy in front that does says so by `x-forwarded-proto`
 * @returns null when the request asks for none
 */
export function ownPage(
  { method, path, fields }: Asked,
  providers: readonly Provider[],
  tls: boolean,
  requestId: string,
): OwnPage | null {
  if (method !== 'GET' && method !== 'HEAD') return null;
  const own = `x-sluice-request-id: ${requestId}`;
  // What a browser asks for by itself, beside whatever it is shown here.
  if (path === '/favicon.ico') return { head: ICON_HEAD + own, body: ICON };
  if (path !== '/' || fieldValue(fields, 'accept')?.includes('text/html') !== true) return null;
  const isSecure = tls || fieldValue(fields, 'x-forwarded-proto') === 'https';
  const origin = originOf(isSecure ? 'https' : 'http', fieldValue(fields, 'host'));
  return { head: PAGE_HEAD + own, body: frontPage(origin, providers) };
}

/** @returns what the page says where the field is absent or is none */
function originOf(scheme: string, host: string | null): string {
  const isPlain = host !== null && host.length <= AUTHORITY_MAX && AUTHORITY.test(host);
  return isPlain ? `${scheme}://${host}` : `${scheme}://(address of this gateway)`;
}

function frontPage(origin: string, providers: readonly Provider[]): string {
  const at = escaped(origin);
  const open = providers.filter(({ onlyVirtual }) => !onlyVirtual);
  const rows = open.map(({ name, prefixes }) => {
    const path = PATHS.get(name) ?? `/${name}${prefixes[0] ?? ''}`;
    return `<tr><td>${escaped(name)}</td><td><code>${at}${escaped(path)}</code></td></tr>`;
  });
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sluice</title>
<link rel="icon" type="image/svg+xml" href="/favicon.ico"><style>${STYLE}</style></head>
<body>
<h1>Sluice</h1>
<p>The gateway for LLM traffic. Keep the SDK that you have and change its base URL; streaming, tools and errors stay as they are.
The key is a provider's own, or a virtual key (<code>bai_…</code>) from whoever runs this gateway.</p>
<h2>Base URLs</h2>
<table>
${rows.join('\n')}
</table>
<h2>For example</h2>
<pre>
# Python
client = OpenAI(base_url="${at}/v1")
client = Anthropic(base_url="${at}")

// Node
new OpenAI({ baseURL: '${at}/v1' })
new Anthropic({ baseURL: '${at}' })

# Any program that reads the environment
export OPENAI_BASE_URL=${at}/v1
export ANTHROPIC_BASE_URL=${at}
</pre>
<p>When something goes wrong, the error says what to do. Its <code>x-sluice-request-id</code> is what whoever runs this gateway
wants to know.</p>
</body>
</html>
`;
}

/** The two that have a path of their own besides their name. */
const PATHS: ReadonlyMap<string, string> = new Map([
  ['openai', '/v1'],
  ['anthropic', ''],
]);

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

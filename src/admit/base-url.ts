/**
 * The commonest slip of all: a base URL that is almost right. Nothing is repaired (a path is forwarded as it was written),
 * but where the gateway answers 404 it says what the right one is, and it answers itself where the provider never could.
 */

import type { Provider } from '../providers/providers.ts';
import { type Rejection, rejection } from '../rejection.ts';

/** Stock SDKs add one of these to the base URL. */
const ENDPOINT = /^(?:chat\/completions|completions|responses|messages|embeddings|models)(?:\/|$)/;

/** The same where they are whole, with or without the prefix that OpenAI's own has and other vendors have not. */
const PREFIXLESS = /^(?:\/v1)?\/(?:chat\/completions|completions|responses|messages|embeddings)$/;

/** The whole URL of an endpoint where a base URL belongs: the SDK puts the endpoint behind it once more. */
const ENDPOINT_TWICE =
  /\/(chat\/completions|completions|responses|messages|embeddings)\/(?:v1\/)?\1$/;

/** Those of them that stock SDKs make; looked for on each request, hence no pattern. */
const SEEN_TWICE = [
  '/chat/completions/chat/completions',
  '/responses/responses',
  '/messages/v1/messages',
] as const;

/** An endpoint with a slash behind it, which some frameworks take for the same one. */
const SLASH_BEHIND =
  /\/(?:chat\/completions|completions|responses|messages|messages\/count_tokens|embeddings)\/+$/;

/** White space that was copied with the URL, as clients escape it. */
const SPACES = /(?:%20|%09|%0[ad]|\+)+$/i;

/** Enough to recognise a typing error, too little to reflect somebody's data. */
const SHOWN_SEGMENT_CHARACTERS = 64;

/**
 * Whether a vendor cannot have meant this path: `/v1`, a slash or the endpoint twice, or its API's prefix left out. A
 * provider that the configuration adds has what paths it likes.
 * @param path what the provider would be asked for
 */
export function hasSlipped(path: string, { builtIn, prefixes }: Provider): boolean {
  if (!builtIn) return false;
  const [first = ''] = prefixes;
  if (path.startsWith(first))
    return (
      path.startsWith('/v1/', first.length) ||
      path.startsWith('//', first.length) ||
      hasEndpointTwice(path)
    );
  if (path.startsWith(`/${first}/`)) return true;
  return PREFIXLESS.test(path) && !prefixes.some((prefix) => path.startsWith(`${prefix}/`));
}

function hasEndpointTwice(path: string): boolean {
  for (const end of SEEN_TWICE) if (path.endsWith(end)) return true;
  return false;
}

/** The 404 of `hasSlipped`. @param asked the path as it came */
export function slip(asked: string, provider: Provider): Rejection {
  return rejection('wrong_base_url', adviceFor(asked, provider));
}

/**
 * What a caller whose path is not for virtual keys may have done; '' when nothing is known.
 * @param asked the path as it came
 * @param path what the provider would be asked for
 */
export function adviceBeside(asked: string, path: string, provider: Provider): string {
  if (hasSlipped(path, provider) || ENDPOINT_TWICE.test(path)) return adviceFor(asked, provider);
  return SLASH_BEHIND.test(path) ? 'Take the slash at the end of the path away.' : '';
}

function adviceFor(asked: string, provider: Provider): string {
  const said = whatIsWrong(asked);
  return `${said}${said === '' ? '' : ' '}${rightOne(asked, provider)}`;
}

function whatIsWrong(asked: string): string {
  if (asked.includes('//')) return 'The path has two slashes in a row.';
  if (asked.includes('/v1/v1/')) return 'The path has /v1 twice.';
  return ENDPOINT_TWICE.test(asked) ? 'The path has the endpoint twice.' : '';
}

function rightOne(asked: string, { name, prefixes }: Provider): string {
  const isBare = asked.startsWith('/v1');
  // Whoever asks for messages speaks Anthropic's wire, whatever else the path is.
  if (name === 'anthropic' || (isBare && asked.includes('/messages')))
    return isBare
      ? "Anthropic's SDK wants the bare address of this gateway, without /v1: it adds /v1/messages by itself."
      : "Anthropic's SDK wants the address of this gateway and /anthropic: it adds /v1/messages by itself.";
  const right = isBare ? '/v1' : `/${name}${prefixes[0] ?? ''}`;
  return `For ${name} the base URL is the address of this gateway and ${right}, with no slash at its end.`;
}

/**
 * Sentences for a caller whose first segment named nobody.
 * @param names of all providers
 */
export function strayAdvice(asked: string, names: readonly string[]): string {
  const end = asked.indexOf('/', 1);
  const segment = end === -1 ? asked.slice(1) : asked.slice(1, end);
  const known = ['v1', ...names];
  const shown = segment.slice(0, SHOWN_SEGMENT_CHARACTERS);
  const found = segment === '' ? 'It is one of' : `"${shown}" is not one of`;
  const hint = strayHint(asked, segment, known);
  return `${found}: ${known.join(', ')}.${hint === '' ? '' : ` ${hint}`}`;
}

function strayHint(asked: string, segment: string, known: readonly string[]): string {
  if (asked.startsWith('//')) return 'Take the slash at the end of the base URL away.';
  if (asked === '/')
    return "The base URL is the address of this gateway and /v1 for OpenAI's SDK, and the bare address for Anthropic's.";
  const trimmed = segment.replace(SPACES, '');
  if (trimmed !== segment && known.includes(trimmed))
    return 'There is white space at the end of the base URL.';
  const small = segment.toLowerCase();
  if (known.includes(small)) return `Paths are case-sensitive: write /${small}.`;
  if (!ENDPOINT.test(asked.slice(1))) return '';
  return segment === 'messages'
    ? 'The path is /v1/messages.'
    : 'Put /v1 at the end of the base URL.';
}

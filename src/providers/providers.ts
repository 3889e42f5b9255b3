import type { Dialect } from '../rejection.ts';

/** How a provider takes its key; `none`: it takes none, and virtual keys reach it without a pool key. */
export type AuthScheme = 'bearer' | 'x-api-key' | 'api-key' | 'none';

/**
 * Whether a chat stream reports its usage only when `stream_options.include_usage` asks for it (`ask`), or anyway
 * (`sent`), in which case requests are never edited: some providers refuse the field.
 */
type StreamUsage = 'ask' | 'sent';

/** Where a provider listens. */
export interface Authority {
  /** Name or address literal, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** One row of the provider table: all that tells one provider from another. */
export interface Provider {
  readonly name: string;
  /** A vendor's row of this table; false for what the configuration adds. */
  readonly builtIn: boolean;
  /** Position in the table; metrics are arrays over it. */
  readonly index: number;
  readonly authority: Authority;
  readonly authScheme: AuthScheme;
  /** False: a request without any key is relayed as it came; whether it is enough is the provider's to say. */
  readonly needsKey: boolean;
  readonly dialect: Dialect;
  readonly streamUsage: StreamUsage;
  /** Where its API begins: what a managed key may reach stands behind one of them. `{name}` is any one segment. */
  readonly prefixes: readonly string[];
}

type Row = readonly [
  name: string,
  authority: string,
  authScheme: AuthScheme,
  dialect: Dialect,
  streamUsage: StreamUsage,
  prefixes: readonly string[],
];

/** Where APIs of added providers begin: OpenAI's, vLLM's, Groq's, OpenRouter's, Fireworks', Azure's, and bare ones. */
const USUAL_PREFIXES = [
  '/v1',
  '/openai/v1',
  '/api/v1',
  '/inference/v1',
  '/openai/deployments/{name}',
  '',
] as const;

const BUILT_IN: readonly Row[] = [
  // platform.openai.com/docs/api-reference/authentication
  // Usage: platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options: usage only when asked for
  ['openai', 'api.openai.com:443', 'bearer', 'openai', 'ask', ['/v1']],
  // docs.anthropic.com/en/api/overview#authentication
  // Usage: docs.anthropic.com/en/api/openai-sdk: its chat/completions takes stream_options; /v1/messages is never edited
  ['anthropic', 'api.anthropic.com:443', 'x-api-key', 'anthropic', 'ask', ['/v1']],
  // openrouter.ai/docs/api-reference/authentication
  // Usage: openrouter.ai/docs/use-cases/usage-accounting: always included, stream_options has no effect
  ['openrouter', 'openrouter.ai:443', 'bearer', 'openai', 'sent', ['/api/v1']],
  // docs.fireworks.ai/api-reference/introduction
  // Usage: docs.fireworks.ai/tools-sdks/openai-compatibility#token-usage-for-streaming-responses: in the last chunk
  ['fireworks', 'api.fireworks.ai:443', 'bearer', 'openai', 'sent', ['/inference/v1']],
  // console.groq.com/docs/openai
  // Usage: console.groq.com/docs/api-reference#chat-create: x_groq.usage in the last chunk; 13 of 16 recorded unasked
  ['groq', 'api.groq.com:443', 'bearer', 'openai', 'sent', ['/openai/v1']],
  // api-docs.deepseek.com
  // Usage: api-docs.deepseek.com/api/create-chat-completion: recorded unasked in 3 of 3
  // Prefixes: api-docs.deepseek.com: base URL with or without /v1; /beta for prefix completion
  ['deepseek', 'api.deepseek.com:443', 'bearer', 'openai', 'sent', ['/v1', '/beta', '']],
  // docs.together.ai/docs/openai-api-compatibility
  // Usage: docs.together.ai/reference/chat-completions: recorded unasked in 2 of 2
  ['together', 'api.together.ai:443', 'bearer', 'openai', 'sent', ['/v1']],
  // inference-docs.cerebras.ai/resources/openai
  // Usage: inference-docs.cerebras.ai/api-reference/chat-completions: takes stream_options; never recorded without
  ['cerebras', 'api.cerebras.ai:443', 'bearer', 'openai', 'ask', ['/v1']],
  // docs.mistral.ai/api
  // Usage: docs.mistral.ai/api/#tag/chat: sent unasked in 23 of 23, and 422 extra_forbidden for stream_options
  ['mistral', 'api.mistral.ai:443', 'bearer', 'openai', 'sent', ['/v1']],
  // docs.x.ai/docs/api-reference
  // Usage: docs.x.ai/docs/api-reference#chat-completions: usage only when asked for
  ['xai', 'api.x.ai:443', 'bearer', 'openai', 'ask', ['/v1']],
];

/** What the configuration may say about a provider; the shape of `Config.providers`. */
export interface ProviderOverride {
  readonly name: string;
  readonly authority?: string;
  readonly dialect?: Dialect;
  readonly authScheme?: AuthScheme;
  readonly streamUsage?: StreamUsage;
}

/**
 * @param text `host:port`, `http://host:port` (plaintext) or `https://host[:port]`; IPv6 in brackets
 * @returns null when it is none of these
 */
export function parseAuthority(text: string): Authority | null {
  const match = /^(https?:\/\/)?(\[[0-9a-fA-F:.]+\]|[^/:[\]@\s]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const [, scheme, name = '', digits] = match;
  if (digits === undefined && scheme !== 'https://') return null;
  const port = digits === undefined ? 443 : Number(digits);
  if (port < 1 || port > 65_535) return null;
  return { host: name.replace(/^\[|\]$/g, ''), port, tls: scheme !== 'http://' };
}

/**
 * A provider of one's own at a plaintext authority (a vLLM, an Ollama) stands in the same network and, unless its auth
 * scheme is written down, usually asks for no key. Nothing is given away: no pool key goes out for who has no virtual one.
 */
function isPlaintext(authority: string): boolean {
  return authority.startsWith('http://');
}

/** Names that the table of one process may hold over time, the built-in ones included: metrics have room for so many. */
export const PROVIDERS_MAX = 64;

/**
 * The provider table of this process: the built-in rows, overridden and extended by the configuration.
 * @param slots names by index, for a table that follows another one: what was counted under an index stays there
 * @throws Error when an authority does not parse or an added provider has none
 */
export function providerTable(
  overrides: readonly ProviderOverride[],
  slots: readonly string[] = [],
): readonly Provider[] {
  const rows = new Map<
    string,
    Omit<Provider, 'name' | 'index' | 'authority'> & { authority: string }
  >();
  for (const [name, authority, authScheme, dialect, streamUsage, prefixes] of BUILT_IN)
    rows.set(name, {
      authority,
      builtIn: true,
      authScheme,
      needsKey: true,
      dialect,
      streamUsage,
      prefixes,
    });
  for (const { name, authority, dialect, authScheme, streamUsage } of overrides) {
    const known = rows.get(name);
    const chosen = authority ?? known?.authority;
    if (chosen === undefined) throw new Error(`Provider ${name} has no authority.`);
    rows.set(name, {
      authority: chosen,
      builtIn: known?.builtIn ?? false,
      authScheme: authScheme ?? known?.authScheme ?? 'bearer',
      needsKey:
        authScheme === undefined
          ? known !== undefined || !isPlaintext(chosen)
          : authScheme !== 'none',
      dialect: dialect ?? known?.dialect ?? 'openai',
      // vLLM, Ollama and Azure, the usual additions, report usage only when asked.
      streamUsage: streamUsage ?? known?.streamUsage ?? 'ask',
      prefixes: known?.prefixes ?? USUAL_PREFIXES,
    });
  }
  const names = providerSlots(slots, [...rows.keys()]);
  return [...rows].map(([name, { authority, ...row }]) => {
    const parsed = parseAuthority(authority);
    if (parsed === null)
      throw new Error(`Provider ${name} has the authority ${authority}, which does not parse.`);
    const index = names.indexOf(name);
    return { name, index, authority: parsed, ...row };
  });
}

/** The slots of a table that follows another one: new names behind the old ones, and no old one taken away. */
export function providerSlots(
  slots: readonly string[],
  names: readonly string[],
): readonly string[] {
  return [...slots, ...names.filter((name) => !slots.includes(name))];
}

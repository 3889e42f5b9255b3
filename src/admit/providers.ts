import type { Dialect } from '../rejection.ts';

/** How a provider takes its key. */
export type AuthScheme = 'bearer' | 'x-api-key' | 'api-key';

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
  /** Position in the table; metrics are arrays over it. */
  readonly index: number;
  readonly authority: Authority;
  readonly authScheme: AuthScheme;
  readonly dialect: Dialect;
}

type Row = readonly [name: string, authority: string, authScheme: AuthScheme, dialect: Dialect];

const BUILT_IN: readonly Row[] = [
  // platform.openai.com/docs/api-reference/authentication
  ['openai', 'api.openai.com:443', 'bearer', 'openai'],
  // docs.anthropic.com/en/api/overview#authentication
  ['anthropic', 'api.anthropic.com:443', 'x-api-key', 'anthropic'],
  // openrouter.ai/docs/api-reference/authentication
  ['openrouter', 'openrouter.ai:443', 'bearer', 'openai'],
  // docs.fireworks.ai/api-reference/introduction
  ['fireworks', 'api.fireworks.ai:443', 'bearer', 'openai'],
  // console.groq.com/docs/openai
  ['groq', 'api.groq.com:443', 'bearer', 'openai'],
  // api-docs.deepseek.com
  ['deepseek', 'api.deepseek.com:443', 'bearer', 'openai'],
  // docs.together.ai/docs/openai-api-compatibility
  ['together', 'api.together.ai:443', 'bearer', 'openai'],
  // inference-docs.cerebras.ai/resources/openai
  ['cerebras', 'api.cerebras.ai:443', 'bearer', 'openai'],
  // docs.mistral.ai/api
  ['mistral', 'api.mistral.ai:443', 'bearer', 'openai'],
  // docs.x.ai/docs/api-reference
  ['xai', 'api.x.ai:443', 'bearer', 'openai'],
];

/** What the configuration may say about a provider; the shape of `Config.providers`. */
export interface ProviderOverride {
  readonly name: string;
  readonly authority?: string;
  readonly dialect?: Dialect;
  readonly authScheme?: AuthScheme;
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
 * The provider table of this process: the built-in rows, overridden and extended by the configuration.
 * @throws Error when an authority does not parse or an added provider has none
 */
export function providerTable(overrides: readonly ProviderOverride[]): readonly Provider[] {
  const rows = new Map<string, { authority: string; authScheme: AuthScheme; dialect: Dialect }>();
  for (const [name, authority, authScheme, dialect] of BUILT_IN)
    rows.set(name, { authority, authScheme, dialect });
  for (const { name, authority, dialect, authScheme } of overrides) {
    const known = rows.get(name);
    const chosen = authority ?? known?.authority;
    if (chosen === undefined) throw new Error(`Provider ${name} has no authority.`);
    rows.set(name, {
      authority: chosen,
      authScheme: authScheme ?? known?.authScheme ?? 'bearer',
      dialect: dialect ?? known?.dialect ?? 'openai',
    });
  }
  return [...rows].map(([name, { authority, authScheme, dialect }], index) => {
    const parsed = parseAuthority(authority);
    if (parsed === null)
      throw new Error(`Provider ${name} has the authority ${authority}, which does not parse.`);
    return { name, index, authority: parsed, authScheme, dialect };
  });
}

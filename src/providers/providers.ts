import type { CallerWire } from '../dialect/wires.ts';
import type { Dialect } from '../rejection.ts';
import type { EndpointMetering } from './endpoint-metering.ts';

/**
 * How a provider takes its key; `none`: it takes none, and virtual keys reach it without a pool key. `x-goog-api-key` is
 * Google's: on its OpenAI wire the key is a bearer token (ai.google.dev/gemini-api/docs/openai).
 */
export type AuthScheme = 'bearer' | 'x-api-key' | 'api-key' | 'x-goog-api-key' | 'none';

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
  /** A vendor's one service, whose paths are known; false for what somebody sets up, an Ollama or an Azure resource too. */
  readonly builtIn: boolean;
  /** Position in the table; metrics are arrays over it. */
  readonly index: number;
  readonly authority: Authority;
  readonly authScheme: AuthScheme;
  /** False: a request without any key is relayed as it came; whether it is enough is the provider's to say. */
  readonly needsKey: boolean;
  /** True: virtual keys reach it where it has no pool key, and no key is sent then. */
  readonly keyless: boolean;
  /** True: a service of this machine that the configuration does not name, which callers without a virtual key get nothing of. */
  readonly onlyVirtual: boolean;
  readonly dialect: Dialect;
  /** Whose callers' requests it gets as they came; others' are written anew. */
  readonly wires: readonly CallerWire[];
  readonly streamUsage: StreamUsage;
  /** Where its API begins: what a managed key may reach stands behind one of them. `{name}` is any one segment. */
  readonly prefixes: readonly string[];
  /** A wire of its own, in which it is asked where a request is written anew for it; null: its dialect's. */
  readonly nativeWire: NativeWire | null;
  /** What of its own wire a managed key may POST to, whole; `{name}` is any one segment, or the part of one. */
  readonly native: readonly NativeEndpoint[];
  /** What tells of its models there: a managed key may GET it. */
  readonly lists: readonly string[];
}

interface NativeWire {
  /** Gemini's paths hold the model, and its requests do not. */
  readonly wire: OwnWire;
  /** Where it begins. */
  readonly prefix: string;
}

type OwnWire = 'gemini' | 'ollama';

type NativeEndpoint = readonly [path: string, metering: EndpointMetering];

/** What few rows have. */
interface RowExtras {
  /** Somebody's own server: its authority in this table is a guess, '' where there is none to make. */
  readonly isOwn?: boolean;
  /** Asks for no key in plaintext. */
  readonly keyless?: boolean;
  /** Others than those of its dialect. */
  readonly wires?: readonly CallerWire[];
  /** Its vendor's. */
  readonly ownWire?: OwnWire;
}

/** What a provider speaks of which nothing more is known. */
const OF_DIALECT: Readonly<Record<Dialect, readonly CallerWire[]>> = {
  openai: ['openai-chat', 'openai-responses'],
  anthropic: ['anthropic-messages'],
};

/** An API of its vendor's own. */
type OwnApi = Pick<Provider, 'native' | 'lists'> & { readonly nativeWire: NativeWire };

const OWN: Readonly<Record<OwnWire, OwnApi>> = {
  gemini: {
    nativeWire: { wire: 'gemini', prefix: '/v1beta' },
    lists: ['/v1beta/models', '/v1beta/models/{name}'],
    native: [
      ['/v1beta/models/{name}:generateContent', 'answers'],
      ['/v1beta/models/{name}:streamGenerateContent', 'answers'],
      ['/v1beta/models/{name}:countTokens', 'free'],
      ['/v1beta/models/{name}:embedContent', 'reports'],
      ['/v1beta/models/{name}:batchEmbedContents', 'reports'],
    ],
  },
  ollama: {
    // docs.ollama.com/api/openai-compatibility: what is not said is 1 on OpenAI's wire, and its own leaves it to the model.
    nativeWire: { wire: 'ollama', prefix: '/api' },
    lists: ['/api/tags'],
    native: [
      ['/api/chat', 'answers'],
      ['/api/generate', 'answers'],
      ['/api/embed', 'reports'],
      ['/api/embeddings', 'reports'],
    ],
  },
};

/** No Responses API is documented: who asks in it is written anew. */
const CHAT_ALONE: RowExtras = { wires: ['openai-chat'] };

type Row = readonly [
  name: string,
  authority: string,
  authScheme: AuthScheme,
  dialect: Dialect,
  streamUsage: StreamUsage,
  /** The first is where the routed lane asks. */
  prefixes: readonly string[],
  extras?: RowExtras,
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
  ['together', 'api.together.ai:443', 'bearer', 'openai', 'sent', ['/v1'], CHAT_ALONE],
  // inference-docs.cerebras.ai/resources/openai
  // Usage: inference-docs.cerebras.ai/api-reference/chat-completions: takes stream_options; never recorded without
  ['cerebras', 'api.cerebras.ai:443', 'bearer', 'openai', 'ask', ['/v1'], CHAT_ALONE],
  // docs.mistral.ai/api
  // Usage: docs.mistral.ai/api/#tag/chat: sent unasked in 23 of 23, and 422 extra_forbidden for stream_options
  ['mistral', 'api.mistral.ai:443', 'bearer', 'openai', 'sent', ['/v1'], CHAT_ALONE],
  // docs.x.ai/docs/api-reference
  // Usage: docs.x.ai/docs/api-reference#chat-completions: usage only when asked for
  ['xai', 'api.x.ai:443', 'bearer', 'openai', 'ask', ['/v1']],
  // ai.google.dev/gemini-api/docs/openai for the OpenAI wire, ai.google.dev/api for its own
  // Usage: ai.google.dev/gemini-api/docs/openai: chat completions take stream_options; its own wire tells it unasked
  [
    'gemini',
    'generativelanguage.googleapis.com:443',
    'x-goog-api-key',
    'openai',
    'ask',
    // Not /v1beta: below /models/{name} it has operations, whose results are somebody's.
    ['/v1beta/openai'],
    {
      ...CHAT_ALONE,
      ownWire: 'gemini',
    },
  ],
  // docs.ollama.com/api/introduction, docs.ollama.com/api/openai-compatibility, docs.ollama.com/api/authentication
  // Usage: docs.ollama.com/api/openai-compatibility: takes stream_options.include_usage; its own wire tells it unasked
  [
    'ollama',
    'http://127.0.0.1:11434',
    'bearer',
    'openai',
    'ask',
    USUAL_PREFIXES,
    {
      isOwn: true,
      keyless: true,
      ownWire: 'ollama',
    },
  ],
  // learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: /openai/v1, the deployment in `model`; before it
  // learn.microsoft.com/azure/ai-foundry/openai/reference: /openai/deployments/{name}. Each resource has its own host.
  // Usage: learn.microsoft.com/azure/ai-foundry/openai/reference#chatcompletionstreamoptions: only when asked for
  [
    'azure',
    '',
    'api-key',
    'openai',
    'ask',
    ['/openai/v1', ...USUAL_PREFIXES.filter((prefix) => prefix !== '/openai/v1')],
    { isOwn: true },
  ],
];

/** What the configuration may say about a provider; the shape of `Config.providers`. */
export interface ProviderOverride {
  readonly name: string;
  readonly authority?: string;
  readonly dialect?: Dialect;
  readonly authScheme?: AuthScheme;
  readonly streamUsage?: StreamUsage;
  /** All of OpenAI's wires that it speaks, and its vendor's own where a row of its name has none. */
  readonly wires?: readonly SpokenWire[];
}

/** What the configuration may say that a provider speaks. */
type SpokenWire = 'openai-chat' | 'openai-responses' | OwnWire;

function ownOf(wires: readonly SpokenWire[]): OwnWire | null {
  return wires.find((wire) => wire === 'gemini' || wire === 'ollama') ?? null;
}

function callersOf(wires: readonly SpokenWire[]): readonly CallerWire[] {
  return wires.filter((wire) => wire !== 'gemini' && wire !== 'ollama');
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
  const said = new Map(overrides.map((override) => [override.name, override]));
  const rows = BUILT_IN.map((row) => builtInRow(row, said.get(row[0])));
  const added = overrides.filter(({ name }) => !BUILT_IN.some(([known]) => known === name));
  const all = [...rows.filter((row) => row !== null), ...added.map(addedRow)];
  const names = providerSlots(
    slots,
    all.map(({ name }) => name),
  );
  return all.map(({ name, authority, ...row }) => {
    const parsed = parseAuthority(authority);
    if (parsed === null)
      throw new Error(`Provider ${name} has the authority ${authority}, which does not parse.`);
    const index = names.indexOf(name);
    return { name, index, authority: parsed, ...row };
  });
}

type ChosenRow = Omit<Provider, 'index' | 'authority'> & { readonly authority: string };

/** @returns null for a row that has no authority without the configuration, which says none */
function builtInRow(
  [name, usual, scheme, dialect, streamUsage, prefixes, extras = {}]: Row,
  said: ProviderOverride | undefined,
): ChosenRow | null {
  const { isOwn = false, keyless = false, ownWire = null } = extras;
  const saidWires = said?.wires;
  // What speaks another dialect than this row's is another service under its name.
  const isRows = said?.dialect === undefined || said.dialect === dialect;
  const named = saidWires === undefined ? null : ownOf(saidWires);
  // What is said of OpenAI's wires says nothing of its vendor's.
  const asked = named ?? (isRows ? ownWire : null);
  const api = asked ?? ownWire;
  const authority = said?.authority ?? usual;
  if (authority === '' && said === undefined) return null;
  if (authority === '') throw new Error(`Provider ${name} has no authority.`);
  const authScheme = said?.authScheme ?? scheme;
  const isOpen = isOwn && isPlaintext(authority);
  return {
    name,
    authority,
    builtIn: !isOwn,
    authScheme,
    needsKey: said?.authScheme === undefined ? !isOpen : authScheme !== 'none',
    keyless: said?.authScheme === undefined ? isOpen && keyless : authScheme === 'none',
    onlyVirtual: isOpen && said?.authority === undefined,
    dialect: said?.dialect ?? dialect,
    wires:
      (saidWires === undefined ? null : callersOf(saidWires)) ??
      (isRows ? extras.wires : null) ??
      OF_DIALECT[said?.dialect ?? dialect],
    streamUsage: said?.streamUsage ?? streamUsage,
    prefixes,
    nativeWire: asked === null ? null : OWN[asked].nativeWire,
    native: api === null ? [] : OWN[api].native,
    lists: api === null ? [] : OWN[api].lists,
  };
}

function addedRow(said: ProviderOverride): ChosenRow {
  const { name, authority, authScheme, wires } = said;
  const own = wires === undefined ? null : ownOf(wires);
  if (authority === undefined) throw new Error(`Provider ${name} has no authority.`);
  return {
    name,
    authority,
    builtIn: false,
    authScheme: authScheme ?? (own === 'gemini' ? 'x-goog-api-key' : 'bearer'),
    needsKey: authScheme === undefined ? !isPlaintext(authority) : authScheme !== 'none',
    keyless: authScheme === 'none',
    onlyVirtual: false,
    dialect: said.dialect ?? 'openai',
    wires: wires === undefined ? OF_DIALECT[said.dialect ?? 'openai'] : callersOf(wires),
    // vLLM, the usual addition, reports usage only when asked.
    streamUsage: said.streamUsage ?? 'ask',
    prefixes: USUAL_PREFIXES,
    nativeWire: own === null ? null : OWN[own].nativeWire,
    native: own === null ? [] : OWN[own].native,
    lists: own === null ? [] : OWN[own].lists,
  };
}

/** The slots of a table that follows another one: new names behind the old ones, and no old one taken away. */
export function providerSlots(
  slots: readonly string[],
  names: readonly string[],
): readonly string[] {
  return [...slots, ...names.filter((name) => !slots.includes(name))];
}

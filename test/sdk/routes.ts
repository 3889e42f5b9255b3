import type { Dialect } from '../../src/rejection.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys } from '../support/managed.ts';
import { FAILURES, FAULTS, WIRES, type Wire } from './cases.ts';

/** Whom a route of a wire leads to. */
interface Place {
  readonly provider: string;
  /** One that thinks when it is asked to, and says so; with the vendor's name in front where the mock has a shape for it. */
  readonly model: string;
  /** What the SDKs know: some look limits and abilities up by it. */
  readonly names: Readonly<Record<Dialect, string>>;
}

const PLACES: Readonly<Record<Wire, Place>> = {
  'openai-chat': {
    provider: 'deepseek',
    model: 'deepseek/deepseek-reasoner',
    names: { openai: 'gpt-4.1-nano', anthropic: 'claude-haiku-4-5' },
  },
  'anthropic-messages': {
    provider: 'anthropic',
    model: 'claude-sonnet-4-5',
    names: { openai: 'gpt-4o', anthropic: 'claude-sonnet-4-5' },
  },
  gemini: {
    provider: 'gemini',
    model: 'gemini-3-flash-preview',
    names: { openai: 'gpt-4.1-mini', anthropic: 'claude-opus-4-5' },
  },
  ollama: {
    provider: 'ollama',
    model: 'qwen3:8b',
    names: { openai: 'gpt-4.1', anthropic: 'claude-opus-4-1' },
  },
};

/** In place of a fault of the mock: the provider refuses the gateway's key. */
export const REFUSED_KEY = 'refused-key';

/** Providers of their own: the key of one rests behind the fault, and what is asked next would wait. */
const PREFIXES: ReadonlyMap<string, string> = new Map([
  [REFUSED_KEY, 'refusing_'],
  ['fault-429', 'limited_'],
]);

const providerOf = (wire: Wire, fault: string | null): string =>
  `${PREFIXES.get(fault ?? '') ?? ''}${PLACES[wire].provider}`;
const providersOf = (wire: Wire): readonly string[] =>
  [null, ...PREFIXES.keys()].map((fault) => providerOf(wire, fault));

/**
 * The route that leads a client of this dialect to a provider of that wire.
 * @param fault what goes wrong there: a fault of the mock, `REFUSED_KEY`, or null
 */
export function routeTo(wire: Wire, dialect: Dialect, fault: string | null): string {
  const name = PLACES[wire].names[dialect];
  if (fault === null) return name;
  // OpenAI's SDKs take the name of a fine-tuned model for that of its base.
  return dialect === 'openai' ? `ft:${name}:${fault}` : `${name}-${fault}`;
}

/** Every fault that a route is made for. */
const ROUTED_FAULTS: readonly (string | null)[] = [
  null,
  ...FAULTS.values(),
  ...FAILURES.filter(({ lanes }) => lanes.some((lane) => lane === 'gemini')).map(
    ({ fault }) => fault ?? REFUSED_KEY,
  ),
];

const targetOf = (wire: Wire, fault: string | null): string => {
  const { model } = PLACES[wire];
  return `${providerOf(wire, fault)}/${fault === null || fault === REFUSED_KEY ? model : fault}`;
};

/**
 * A configuration whose routes lead to one mock, each provider in its own wire.
 * @param port of the mock
 * @param key its pool key at all of them but those that refuse theirs
 */
export function routedTables(port: number, key: string): string {
  const keys = WIRES.flatMap((wire) =>
    providersOf(wire).map((provider) => [provider, key] as const),
  );
  const wrong = WIRES.map(
    (wire) =>
      [
        providerOf(wire, REFUSED_KEY),
        wire === 'anthropic-messages' ? 'sk-ant-wrong' : 'sk-wrong',
      ] as const,
  );
  const rows = (wire: Wire, value: string): string =>
    providersOf(wire)
      .map((provider) => `${provider} = ${value}\n`)
      .join('');
  const anthropic = providersOf('anthropic-messages').slice(1);
  const routes = (['openai', 'anthropic'] as const).flatMap((dialect) =>
    WIRES.flatMap((wire) =>
      ROUTED_FAULTS.map(
        (fault) =>
          `[routes."${routeTo(wire, dialect, fault)}"]\ntargets = ["${targetOf(wire, fault)}"]\nretries = 0\n`,
      ),
    ),
  );
  return (
    `refused_key_rest_secs = 0\nbreaker_failures = 1000\n` +
    authorities(Object.fromEntries(keys.map(([provider]) => [provider, port]))) +
    `[provider_dialects]\n${anthropic.map((name) => `${name} = "anthropic"\n`).join('')}` +
    `[provider_auth_schemes]\n${anthropic.map((name) => `${name} = "x-api-key"\n`).join('')}` +
    `[provider_wires]\n${(['openai-chat', 'gemini', 'ollama'] as const).map((wire) => rows(wire, `["${wire}"]`)).join('')}` +
    poolKeys(Object.fromEntries([...keys, ...wrong])) +
    signingKeys() +
    routes.join('')
  );
}

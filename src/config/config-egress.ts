import type { EgressDocument, ProviderEgress } from '../providers/egress.ts';
import { type Provider, type ProviderOverride, providerTable } from '../providers/providers.ts';
import { chooseProxy, type ProxyRules, parseProxyUrl, proxyVariable } from '../providers/proxy.ts';
import type { ConfigProblem } from './config-problem.ts';
import { PROXY_URL_EXPECTED, type Settings } from './config-schema.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type ProviderSettings = NonNullable<ReturnType<Settings['providers']['get']>>;

/**
 * Variables that name a proxy which cannot be used stop the start: without it everything would leave another way than
 * whoever set them meant. Their values are not shown: they may hold a password.
 */
export function proxyProblems(env: Environment): readonly ConfigProblem[] {
  return (['http_proxy', 'https_proxy'] as const).flatMap((name) => {
    const said = proxyVariable(env, name);
    if (said === null || parseProxyUrl(said.value) !== null) return [];
    const isSocks = said.value.startsWith('socks');
    const found = isSocks ? 'a SOCKS proxy' : '***';
    return [{ file: 'environment', key: said.by, found, expected: PROXY_URL_EXPECTED }];
  });
}

/** Every provider's way out, and what its own table says of it. */
export function egressOf(
  settings: Settings,
  overrides: readonly ProviderOverride[],
  env: Environment,
): {
  readonly egress: readonly (readonly [provider: string, way: EgressDocument])[];
  readonly providerEgress: readonly (readonly [provider: string, said: ProviderEgress])[];
} {
  const rules = rulesOf(settings, env);
  const egress = providerTable(overrides).map(
    (provider) =>
      [
        provider.name,
        wayOf(provider, settings, settings.providers.get(provider.name), rules),
      ] as const,
  );
  const said = [...settings.providers].map(([name, own]) => [name, saidOf(own)] as const);
  return { egress, providerEgress: said };
}

function rulesOf({ proxy_url, no_proxy }: Settings, env: Environment): ProxyRules {
  return {
    configured: proxy_url === null ? null : { value: proxy_url, by: 'proxy_url' },
    httpProxy: proxyVariable(env, 'http_proxy'),
    httpsProxy: proxyVariable(env, 'https_proxy'),
    noProxy:
      no_proxy.length > 0
        ? { value: no_proxy.join(','), by: 'no_proxy' }
        : proxyVariable(env, 'no_proxy'),
  };
}

function wayOf(
  { name, authority }: Provider,
  settings: Settings,
  own: ProviderSettings | undefined,
  rules: ProxyRules,
): EgressDocument {
  const url = own?.proxy_url;
  const said = url === undefined ? null : { value: url, by: `[providers.${name}] proxy_url` };
  const proxy = chooseProxy(authority, said, rules);
  const http2 = (own?.http2 ?? settings.http2) && authority.tls;
  const chosen = own?.transport ?? settings.transport;
  return {
    // The house's client speaks HTTP/1.1 without a proxy, and nothing else.
    transport: http2 || proxy.url !== null ? 'undici' : chosen,
    http2,
    proxyUrl: proxy.url,
    wayBecause: proxy.because,
    caFiles: [settings.ca_file, own?.ca_file].filter((path) => typeof path === 'string'),
    clientCertFile: own?.client_cert_file ?? null,
    clientKeyFile: own?.client_key_file ?? null,
    connectTimeoutMs: own?.connect_timeout_secs ?? settings.connect_timeout_secs,
    firstByteTimeoutMs: own?.first_byte_timeout_secs ?? settings.first_byte_timeout_secs,
    idleTimeoutMs: own?.idle_timeout_secs ?? settings.idle_timeout_secs,
    maxProviderConnections: own?.max_provider_connections ?? settings.max_provider_connections,
    maxProviderQueue: own?.max_provider_queue ?? settings.max_provider_queue,
  };
}

/** In the words of the configuration; what is not said is not there. */
function saidOf(own: ProviderSettings): ProviderEgress {
  const said = {
    transport: own.transport,
    http2: own.http2,
    proxyUrl: own.proxy_url,
    caFile: own.ca_file ?? undefined,
    clientCertFile: own.client_cert_file ?? undefined,
    clientKeyFile: own.client_key_file ?? undefined,
    connectTimeoutMs: own.connect_timeout_secs,
    firstByteTimeoutMs: own.first_byte_timeout_secs,
    idleTimeoutMs: own.idle_timeout_secs,
    maxProviderConnections: own.max_provider_connections,
    maxProviderQueue: own.max_provider_queue,
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

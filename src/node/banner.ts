import type { Config, ListenAddress } from '../config/config-document.ts';
import type { Provider } from '../providers/providers.ts';
import { VERSION } from '../version.ts';

/** What a person who just started the gateway wants to know. */
interface BannerFacts {
  readonly config: Config;
  readonly listen: ListenAddress;
  readonly metricsListen: ListenAddress;
  readonly source: string | null;
  readonly providers: readonly Provider[];
}

const ANY = new Set(['0.0.0.0', '::']);

/** @returns the greeting for a terminal, ended by a newline */
export function banner({ config, listen, metricsListen, source, providers }: BannerFacts): string {
  const scheme = config.tlsCertFile === null ? 'http' : 'https';
  const base = `${scheme}://${host(listen)}:${listen.port}`;
  const limit = (value: number, unit: string): string => (value === 0 ? 'off' : `${value} ${unit}`);
  return `Sluice ${VERSION}

  clients    ${base}   (${config.workers} workers, TLS ${scheme === 'https' ? 'on' : 'off'})
  metrics    http://${host(metricsListen)}:${metricsListen.port}/metrics
  config     ${source ?? 'none: defaults, callers bring their own keys'}
  providers  ${providers.map(({ name }) => name).join(' ')}
  limits     body ${limit(config.maxRequestBodyBytes, 'bytes')}, in flight ${limit(config.maxInFlight, 'exchanges')}
  keys       virtual keys ${config.signingKeys.size === 0 ? 'off: no [signing_keys]' : `on, ${config.poolKeys.size} providers with pool keys`}
  rates      ${limit(config.rateLimitRps, '/s')} a virtual key, ${limit(config.byoRateLimitRps, '/s')} all other callers together
  access log ${config.accessLog ? 'on' : 'off'}

Try it:
  curl ${base}/v1/chat/completions -H "authorization: Bearer $OPENAI_API_KEY" \\
    -H 'content-type: application/json' \\
    -d '{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

Stop with Ctrl-C: what is in flight finishes first; a second Ctrl-C ends it at once.
`;
}

function host({ host: name }: ListenAddress): string {
  if (ANY.has(name)) return 'localhost';
  return name.includes(':') ? `[${name}]` : name;
}

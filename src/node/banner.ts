import { authorityHere } from '../config/config-address.ts';
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

/** @returns the greeting for a terminal, ended by a newline */
export function banner({ config, listen, metricsListen, source, providers }: BannerFacts): string {
  const scheme = config.tlsCertFile === null ? 'http' : 'https';
  const base = `${scheme}://${authorityHere(listen)}`;
  const admin = `http://${authorityHere(metricsListen)}`;
  const limit = (value: number, unit: string): string => (value === 0 ? 'off' : `${value} ${unit}`);
  return `Sluice ${VERSION}

  clients    ${base}   (${config.workers} workers, TLS ${scheme === 'https' ? 'on' : 'off'})
  metrics    ${admin}/metrics
  dashboard  ${config.admin === null ? 'off: no [admin]' : `${config.admin.origin ?? admin}/`}
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

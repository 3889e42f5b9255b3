import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../test/support/gateway.ts';
import { token } from '../../test/support/managed.ts';
import { CHAT_PATH, MODEL } from '../chat.ts';
import { startHaproxy } from './haproxy.ts';
import { startNginxProxy } from './nginx.ts';
import { portkeyFields, portkeyIsThere, startPortkey } from './portkey.ts';
import { FOLDER, isThere, Running } from './processes.ts';
import { startSluice } from './sluice.ts';

/** One row of a comparison: something that stands between a client and an upstream. */
export interface Peer {
  readonly name: string;
  /** What the caller sends as its key. */
  readonly key: string;
  /** What it is asked at, and for which model, where that is not what all are. */
  readonly path?: string;
  readonly model?: string;
  /** Further field lines of its requests, each with its CRLF. */
  readonly fields: (upstream: number) => string;
  readonly start: (port: number, upstream: number) => Promise<Running>;
}

const OWN_KEY = 'sk-own';
const noFields = (): string => '';

export const NGINX: Peer = {
  name: 'nginx',
  key: OWN_KEY,
  fields: noFields,
  start: startNginxProxy,
};

const HAPROXY: Peer = {
  name: 'haproxy',
  key: OWN_KEY,
  fields: noFields,
  start: startHaproxy,
};

export const PORTKEY: Peer = {
  name: 'Portkey',
  key: OWN_KEY,
  fields: portkeyFields,
  start: startPortkey,
};

/** Requests in one piece and responses of any length; nothing else. */
export const FLOOR: Peer = {
  name: 'bare uWS + undici',
  key: OWN_KEY,
  fields: noFields,
  start: (port, upstream) => {
    const script = join(ROOT, 'bench/peers/floor-relay.ts');
    return new Running(process.execPath, [script, String(port), String(upstream)]).listening(port);
  },
};

/** @param root another checkout, or undefined for this one */
export function sluice(kind: 'BYO' | 'managed', workers: number, root?: string): Peer {
  return {
    name: `Sluice ${kind}, ${workers} worker${workers === 1 ? '' : 's'}`,
    key: kind === 'BYO' ? OWN_KEY : token(),
    fields: noFields,
    start: (port, upstream) =>
      startSluice(port, upstream, { workers, ...(root === undefined ? {} : { root }) }),
  };
}

/** A route of two targets, the first of which answers. */
const ROUTE = `[routes.two]
targets = ["openai/gpt-5-mini"]
fallbacks = ["groq/llama-3.3-70b-versatile"]
`;

/**
 * Everything that limits a key and what it may cost, so high that nobody reaches it: six purses of requests, tokens and places, a share of
 * its class, four budgets. Not the loop guard: every request of a flood is the same.
 */
const LIMITED = `[policies.each]
rpm = 1_000_000_000
tpm = 1_000_000_000
max_in_flight = 1_000_000
budget_usd_per_day = 1_000_000
budget_usd_per_month = 1_000_000
max_cost_per_request_usd = 1_000
[keys.1]
policy = "each"
class = "developer"
[tenants.42]
policy = "each"
[limits]
rpm = 1_000_000_000
tpm = 1_000_000_000
max_in_flight = 1_000_000
[limits.models."openai/${MODEL}"]
rpm = 1_000_000_000
tpm = 1_000_000_000
max_in_flight = 1_000_000
[limits.providers.openai]
rpm = 1_000_000_000
tpm = 1_000_000_000
max_in_flight = 1_000_000
[limits.classes.developer]
rpm = 1_000_000_000
tpm = 1_000_000_000
max_in_flight = 1_000_000
[limits.shares]
developer = 0.9
`;

/**
 * A virtual key's request, metered, by each way that it can take: a path that names its provider (the relay lane), a plain
 * model, a route (the routed lane); and the first of them with all limits and budgets, and with a ledger beside.
 */
export function lanes(workers: number): readonly Peer[] {
  const start: Peer['start'] = (port, upstream) =>
    startSluice(port, upstream, { workers, providers: ['openai', 'groq'], tables: ROUTE });
  const said = `${workers} worker${workers === 1 ? '' : 's'}`;
  const lane = { key: token(), fields: noFields, start };
  const limited = {
    ...lane,
    path: `/openai${CHAT_PATH}`,
    key: token({ keyId: 1n }),
  };
  return [
    { ...lane, name: `${RELAYED}, ${said}`, path: `/openai${CHAT_PATH}` },
    { ...lane, name: `Sluice plain model, ${said}` },
    { ...lane, name: `Sluice route of two, ${said}`, model: 'two' },
    {
      ...limited,
      name: `Sluice limited relay, ${said}`,
      start: (port, upstream) => startSluice(port, upstream, { workers, tables: LIMITED }),
    },
    {
      ...limited,
      name: `Sluice limited relay with a ledger, ${said}`,
      start: (port, upstream) => {
        const settings = `data_dir = "${mkdtempSync(join(FOLDER, 'data-'))}"\n`;
        return startSluice(port, upstream, { workers, settings, tables: LIMITED });
      },
    },
  ];
}

/** What the other lanes are compared with. */
export const RELAYED = 'Sluice metered relay';

/** The peers that are no part of this project; those that are not on this machine are named on stdout. */
export function otherPeers(): readonly Peer[] {
  const found = [NGINX];
  if (isThere('haproxy')) found.push(HAPROXY);
  else process.stdout.write('haproxy is not there (apt-get install haproxy)\n');
  if (portkeyIsThere()) found.push(PORTKEY);
  else process.stdout.write('Portkey is not there: it could not be installed with npm\n');
  return found;
}

import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { z } from 'zod';
import type { Config, ListenAddress } from '../config/config-document.ts';
import { configProof } from '../config/config-proof.ts';
import type { Condition } from '../plan/health.ts';
import type { PurseState } from '../policy/purse-states.ts';

/** How long whoever has a port may take to say who it is, in milliseconds. */
const ANSWER_MS = 2_000;

/** Where a listener that binds to any address is asked. */
const ANY: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** What every answer of the client port carries, and what the admin port alone says. */
const CLIENT_FIELD = 'x-sluice-request-id';
const ADMIN_METRIC = 'ai_build_info';

/** Why nothing is known of a gateway, as a sentence goes on behind "is not known: ". */
export type Unknown = 'nobody' | 'another';

interface Answer {
  readonly status: number;
  readonly field: string | undefined;
  readonly text: string;
}

/**
 * Whether it is a Sluice that has this port.
 * @param isTls whether the client port speaks TLS; its certificate is nobody's proof here
 */
export async function isSluiceAt(address: ListenAddress, isTls: boolean): Promise<boolean> {
  const answer = await asked(address, isTls).catch(() => null);
  return answer !== null && (answer.field !== undefined || answer.text.includes(ADMIN_METRIC));
}

/**
 * How targets are doing, as the gateway that runs with this configuration says.
 * @param names `provider/model`
 * @returns by name; why that is not known
 */
export async function targetStatesOf(
  config: Asking,
  names: readonly string[],
): Promise<ReadonlyMap<string, Condition> | Unknown> {
  const answer = await askedByName(config, '/targets', names);
  const told = STATES.safeParse(parsed(answer?.text ?? ''));
  if (!told.success) return whyUnknown(answer);
  return new Map(
    told.data.targets.map(({ name, state, wait_ms, ttft_ms }) => [
      name,
      { state, waitMs: wait_ms, ttftMs: ttft_ms },
    ]),
  );
}

/**
 * How purses of limits stand, as the gateway that runs with this configuration says.
 * @param names as its table of limits has them
 * @returns by name, those that somebody took from; why that is not known
 */
export async function purseStatesOf(
  config: Asking,
  names: readonly string[],
): Promise<ReadonlyMap<string, PurseState> | Unknown> {
  const answer = await askedByName(config, '/limits', names);
  const told = PURSES.safeParse(parsed(answer?.text ?? ''));
  if (!told.success) return whyUnknown(answer);
  return new Map(told.data.limits.map((state) => [state.name, state]));
}

/** A command's configuration: where its gateway is, and what shows it that they have the same one. */
type Asking = Pick<Config, 'metricsListen' | 'admin' | 'poolKeys'>;

async function askedByName(
  config: Asking,
  path: string,
  names: readonly string[],
): Promise<Answer | null> {
  const query = new URLSearchParams(names.map((name): [string, string] => ['name', name]));
  const fields = { authorization: configProof(config).reveal() };
  return await asked(config.metricsListen, false, `${path}?${query}`, fields).catch(() => null);
}

/** 401, and 429 where many have asked so: its console does not know us. */
function whyUnknown(answer: Answer | null): Unknown {
  return answer?.status === 401 || answer?.status === 429 ? 'another' : 'nobody';
}

const PURSES = z.object({
  limits: z.array(
    z.object({
      name: z.string(),
      requests_full_ms: z.number(),
      tokens_full_ms: z.number(),
      in_flight: z.number(),
    }),
  ),
});

const STATES = z.object({
  targets: z.array(
    z.object({
      name: z.string(),
      state: z.enum(['closed', 'open', 'probing']),
      wait_ms: z.number(),
      ttft_ms: z.number(),
    }),
  ),
});

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function asked(
  { host, port }: ListenAddress,
  isTls: boolean,
  path = '/metrics',
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const to = { host: ANY[host] ?? host, port, path, headers, timeout: ANSWER_MS, agent: false };
  return new Promise((resolve, reject) => {
    const outgoing = isTls ? requestTls({ ...to, rejectUnauthorized: false }) : requestPlain(to);
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer')));
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      const field = response.headers[CLIENT_FIELD];
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, field: field?.toString(), text }),
      );
    });
    outgoing.end();
  });
}

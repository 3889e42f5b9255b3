import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { z } from 'zod';
import type { ListenAddress } from '../config/config-document.ts';
import type { Condition } from '../plan/health.ts';
import type { PurseState } from '../policy/purse-states.ts';

/** How long whoever has a port may take to say who it is, in milliseconds. */
const ANSWER_MS = 2_000;

/** Where a listener that binds to any address is asked. */
const ANY: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** What every answer of the client port carries, and what the admin port alone says. */
const CLIENT_FIELD = 'x-sluice-request-id';
const ADMIN_METRIC = 'ai_build_info';

interface Answer {
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
 * How targets are doing, as the gateway that has this admin port says.
 * @param names `provider/model`
 * @returns by name; null when no gateway answers there
 */
export async function targetStatesAt(
  address: ListenAddress,
  names: readonly string[],
): Promise<ReadonlyMap<string, Condition> | null> {
  const query = new URLSearchParams(names.map((name): [string, string] => ['name', name]));
  const answer = await asked(address, false, `/targets?${query}`).catch(() => null);
  const told = STATES.safeParse(parsed(answer?.text ?? ''));
  if (!told.success) return null;
  return new Map(
    told.data.targets.map(({ name, state, wait_ms, ttft_ms }) => [
      name,
      { state, waitMs: wait_ms, ttftMs: ttft_ms },
    ]),
  );
}

/**
 * How purses of limits stand, as the gateway that has this admin port says.
 * @param names as its table of limits has them
 * @returns by name, those that somebody took from; null when no gateway answers there
 */
export async function purseStatesAt(
  address: ListenAddress,
  names: readonly string[],
): Promise<ReadonlyMap<string, PurseState> | null> {
  const query = new URLSearchParams(names.map((name): [string, string] => ['name', name]));
  const answer = await asked(address, false, `/limits?${query}`).catch(() => null);
  const told = PURSES.safeParse(parsed(answer?.text ?? ''));
  return told.success ? new Map(told.data.limits.map((state) => [state.name, state])) : null;
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

function asked({ host, port }: ListenAddress, isTls: boolean, path = '/metrics'): Promise<Answer> {
  const to = { host: ANY[host] ?? host, port, path, timeout: ANSWER_MS, agent: false };
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
      response.once('end', () => resolve({ field: field?.toString(), text }));
    });
    outgoing.end();
  });
}

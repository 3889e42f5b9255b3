import { EVERY_TOOL } from '../../src/mock/answers.ts';
import type { Dialect } from '../../src/rejection.ts';
import type { Call, FailingCall, WorkCall } from './calls.ts';
import { FAULTS, isOwn, type Lane, type WorkName } from './cases.ts';
import type { Client } from './clients.ts';
import { REFUSED_KEY, routeTo } from './routes.ts';
import { LIMIT_BYTES, type Stage, TENANTS, virtualKey } from './stage.ts';

/** One call as a program reads it: an item of the JSON list on its stdin. */
export interface Ask {
  readonly id: number;
  /** Which of its functions the program calls: a name of `WORKS`, or `fails`; `insists` fails with the client's own retries. */
  readonly call: WorkName | 'fails' | 'insists';
  /** The base URL as this dialect's SDKs want it. */
  readonly url: string;
  readonly key: string;
  readonly model: string;
  readonly prompt: string;
  /** Calls made at most until one fails. */
  readonly attempts: number;
  /** The status that the error must have, 0 where none is expected: the program picks its SDK's class by it. */
  readonly status: number;
}

const PROMPT = 'Tell me what the river said to the stone';
/** Names that the SDKs know: some look limits and abilities up by them. */
const MODELS: Readonly<Record<Dialect, string>> = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-sonnet-4-5',
};
const EMBEDDING_MODEL = 'text-embedding-3-small';
const OWN_KEY = 'sk-mine';
/** The one key of each dialect that the mock refuses. */
const WRONG_KEYS: Readonly<Record<Dialect, string>> = {
  openai: 'sk-wrong',
  anthropic: 'sk-ant-wrong',
};
/** Path prefixes of the providers that are there to fail. */
const PREFIXES: ReadonlyMap<string, Readonly<Record<Dialect, string>>> = new Map([
  ['unknown-provider', { openai: '/opanai', anthropic: '/antropic' }],
  ['unreachable', { openai: '/closed', anthropic: '/closed_ant' }],
  ['no-pool-key', { openai: '/poolless', anthropic: '/poolless_ant' }],
]);
/** An Ed25519 signature in base64url without padding. */
const SIGNATURE_CHARACTERS = 86;

/** A call with everything that the program needs to make it. */
export function askFor(call: Call, client: Client, stage: Stage): Ask {
  return call.kind === 'work'
    ? workAsk(call, client.dialect, stage)
    : failingAsk(call, client, stage);
}

function workAsk({ id, name, lane }: WorkCall, dialect: Dialect, stage: Stage): Ask {
  const fault = FAULTS.get(name) ?? null;
  return {
    id,
    call: name,
    url: baseUrl(stage.gatewayOf(lane).origin, '', dialect),
    key: lane === 'byo' ? OWN_KEY : virtualKey(id, TENANTS.calls),
    model: name === 'embeddings' ? EMBEDDING_MODEL : modelFor(lane, dialect, fault),
    prompt: name === 'parallel' ? EVERY_TOOL : PROMPT,
    attempts: 1,
    status: 0,
  };
}

function failingAsk(call: FailingCall, { dialect, remaps }: Client, stage: Stage): Ask {
  const { id, name, lane, failure } = call;
  const { origin } = name === 'guardrail' ? stage.narrow : stage.gatewayOf(lane);
  return {
    id,
    call: failure.insists ? 'insists' : 'fails',
    url: baseUrl(origin, PREFIXES.get(name)?.[dialect] ?? '', dialect),
    key: failingKey(call, dialect),
    model: modelFor(lane, dialect, name === 'pool-key' ? REFUSED_KEY : failure.fault),
    prompt: name === 'too-large' ? 'x'.repeat(LIMIT_BYTES) : PROMPT,
    attempts: failure.attempts,
    status: remaps[name] ?? failure.status[dialect],
  };
}

/** A fault is asked for as a fine-tuned model is: SDKs that know all models of OpenAI take that. */
function modelFor(lane: Lane, dialect: Dialect, fault: string | null): string {
  if (!isOwn(lane)) return routeTo(lane, dialect, fault);
  if (fault === null) return MODELS[dialect];
  return dialect === 'openai' ? `ft:${MODELS.openai}:${fault}` : fault;
}

function baseUrl(origin: string, prefix: string, dialect: Dialect): string {
  return `${origin}${prefix}${dialect === 'openai' ? '/v1' : ''}`;
}

function failingKey({ id, name, lane }: FailingCall, dialect: Dialect): string {
  if (name === 'no-key') return '';
  if (lane === 'byo') return name === 'wrong-key' ? WRONG_KEYS[dialect] : OWN_KEY;
  const tenant =
    name === 'spent' || name === 'cut-off' || name === 'budget' ? TENANTS[name] : TENANTS.calls;
  const key = virtualKey(id, tenant);
  if (name !== 'wrong-key') return key;
  // Whole and well-formed, but signed for another key id.
  return (
    key.slice(0, -SIGNATURE_CHARACTERS) + virtualKey(id + 1, tenant).slice(-SIGNATURE_CHARACTERS)
  );
}

import { parseArgs } from 'node:util';
import type { Config } from '../config/config-document.ts';
import { type DenyBucket, NO_BUCKET, reasonOf } from '../deny/deny-bucket.ts';
import { denySubject, denyValue } from '../deny/deny-entry.ts';
import { denySource } from '../deny/deny-source.ts';
import { allow, deny, HOLD_MAX_SECONDS, openDenySet } from '../deny/deny-write.ts';
import { spanSeconds } from './time-span.ts';

/** Text of `sluice deny --help`. */
export const DENY_HELP = `sluice deny tenant ID [--reason spend|fraud|TEXT] [--for 1h] [--config FILE]
sluice deny key ID    [--reason spend|fraud|TEXT] [--for 1h] [--config FILE]
sluice deny list      [--config FILE]

Cuts off a tenant, or one bai_v2 or bai_v3 key, on every gateway that follows the same NATS (nats_url, config_bucket). The reason
spend is answered 402 spend_limit, any other one 403 denied (default: fraud).

  --for TIME   the hold ends by itself: a number with s, m, h or d behind it

sluice allow tenant ID and sluice allow key ID lift it. sluice deny list shows who is cut off.`;

/** Text of `sluice allow --help`. */
export const ALLOW_HELP = `sluice allow tenant ID [--config FILE]
sluice allow key ID    [--config FILE]

Lifts what sluice deny has put on a tenant or a key, on every gateway that follows the same NATS.`;

/** What of the configuration tells where the deny-set is: whoever cuts somebody off needs no provider's key. */
export const DENY_KEYS: readonly string[] = [
  'nats_url',
  'nats_creds_file',
  'config_bucket',
  'ca_file',
];

/** What is to be done with the bucket. */
interface DenyAsked {
  readonly what: 'deny' | 'allow' | 'list';
  readonly kind: 'tenant' | 'key';
  readonly id: bigint;
  readonly reason: string;
  /** Seconds; 0 = not by itself. */
  readonly forSeconds: number;
  /** The configuration's path, or null for the usual places. */
  readonly config: string | null;
}

const U64_MAX = 2n ** 64n - 1n;

/** @throws Error that says how it is written */
export function denyArguments(command: 'deny' | 'allow', argv: readonly string[]): DenyAsked {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { config: { type: 'string' }, reason: { type: 'string' }, for: { type: 'string' } },
    allowPositionals: true,
  });
  const [kind, digits = '', ...more] = positionals;
  const config = values.config ?? null;
  const base = { kind: 'tenant', id: 0n, reason: '', forSeconds: 0, config } as const;
  if (command === 'deny' && kind === 'list' && digits === '') return { ...base, what: 'list' };
  const isId = /^(?:0|[1-9][0-9]{0,19})$/.test(digits) && BigInt(digits) <= U64_MAX;
  if ((kind !== 'tenant' && kind !== 'key') || !isId || more.length > 0) {
    const list = command === 'deny' ? ', or "list"' : '';
    throw new Error(
      `sluice ${command} takes "tenant" or "key" and a decimal id up to ${U64_MAX}${list}.`,
    );
  }
  return {
    what: command,
    kind,
    id: BigInt(digits),
    reason: values.reason ?? 'fraud',
    forSeconds: values.for === undefined ? 0 : holdSeconds(values.for),
    config,
  };
}

function holdSeconds(text: string): number {
  const seconds = spanSeconds('--for', text);
  if (seconds > HOLD_MAX_SECONDS)
    throw new Error('--for takes at most 20 years; without it the hold does not end.');
  return seconds;
}

/**
 * `sluice deny` and `sluice allow`.
 * @returns the exit code
 * @throws Error with one line that says what to do
 */
export async function changeDenySet(asked: DenyAsked, config: Config): Promise<number> {
  const source = denySource(config);
  if (source === null) {
    throw new Error(
      'There is no NATS to tell: set nats_url in the configuration, or AI_NATS_URL, to the one that the gateways follow.',
    );
  }
  const bucket = await openDenySet(source, asked.what === 'deny');
  try {
    if (asked.what === 'list') await list(bucket);
    else await change(bucket, asked);
  } catch (error) {
    if (reasonOf(error) !== NO_BUCKET) throw new Error(`NATS refused it (${reasonOf(error)}).`);
    print(`There is no bucket ${source.bucket}: nobody is cut off.`);
  } finally {
    await bucket.close();
  }
  return 0;
}

async function change(
  bucket: DenyBucket,
  { what, kind, id, reason, forSeconds }: DenyAsked,
): Promise<void> {
  if (what === 'allow') {
    await allow(bucket, kind, id);
    print(`${kind} ${id} is allowed.`);
    return;
  }
  const value = await deny(bucket, kind, id, reason, forSeconds);
  const { exp, reason: why } = denyValue(value);
  const status = why === 'spend' ? '402 spend_limit' : '403 denied';
  const until = forSeconds === 0 ? '' : ` until ${timeOf(exp)}`;
  print(`${kind} ${id} gets ${status}${until}.`);
}

/** In the order of the bucket, as it is read. */
async function list(bucket: DenyBucket): Promise<void> {
  await bucket.info();
  const rows = new Map<string, string>();
  const following = await bucket.watch(null, ({ key, operation, value }) => {
    const subject = denySubject(key);
    if (subject === null) return;
    const name = key.replace('blackhole.key.', 'key ').replace('blackhole.', 'tenant ');
    if (operation !== 'PUT') rows.delete(name);
    else rows.set(name, new TextDecoder().decode(value));
  });
  await Promise.race([following.seeded, following.ended]);
  following.stop();
  for (const [name, text] of rows) {
    const { reason, exp } = denyValue(text);
    const until = exp === 0 ? '' : exp * 1_000 < Date.now() ? '  ended' : `  until ${timeOf(exp)}`;
    print(`${name.padEnd(28)} ${reason === 'spend' ? '402' : '403'}  ${text}${until}`);
  }
  if (rows.size === 0) print('Nobody is cut off.');
}

const timeOf = (seconds: number): string => new Date(seconds * 1_000).toISOString();

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

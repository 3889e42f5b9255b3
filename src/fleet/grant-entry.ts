/**
 * What the bucket says of one budget in one window: `{"limit_seen":300000000000,"granted":{"NODE":1500000000}}`, in whole
 * nano-dollars.
 */

export interface GrantEntry {
  /** The limit as whoever wrote last had it configured. For people; nobody counts by it. */
  readonly limitSeen: number;
  /** By node: all that it was ever given in this window and has not handed back, spent or not. */
  readonly granted: ReadonlyMap<string, number>;
}

export const NO_GRANTS: GrantEntry = { limitSeen: 0, granted: new Map() };

export function encodeGrants({ limitSeen, granted }: GrantEntry): string {
  return JSON.stringify({ limit_seen: limitSeen, granted: Object.fromEntries(granted) });
}

/** @throws Error when it is anything else: nobody can say then what is left */
export function decodeGrants(text: string): GrantEntry {
  const said: unknown = JSON.parse(text);
  if (!isObject(said) || !isObject(said['granted'])) throw new Error('not an entry of grants');
  return {
    limitSeen: amount(said['limit_seen']),
    granted: new Map(Object.entries(said['granted']).map(([node, nano]) => [node, amount(nano)])),
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function amount(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error('not an amount of nano-dollars');
}

/** The key of a budget in a window: a bucket's keys have few characters (NATS, "Key/Value Store": `[-/_=.a-zA-Z0-9]`). */
export function grantKey(scope: string, name: string, label: string): string {
  return [scope, name, label].map(asToken).join('.');
}

function asToken(text: string): string {
  return text.replace(/[^a-zA-Z0-9_/-]/gu, (one) => `=${Buffer.from(one).toString('hex')}=`);
}

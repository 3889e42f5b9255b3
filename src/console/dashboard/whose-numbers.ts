import type { Node } from './told.ts';

/** Whether there may be other gateways than this one: they share a bucket, or a data base. */
export function isOfFleet({ fleet, ledger }: Node): boolean {
  return fleet || ledger === 'postgres' || ledger === 'clickhouse';
}

/** Whose numbers the past on this screen is made of, as a sentence. */
export function whoseNumbers({ ledger, name, fleet }: Node): string {
  const base = { postgres: 'Postgres', clickhouse: 'ClickHouse', node: null }[ledger ?? 'node'];
  if (base !== null) return `All gateways of the fleet together, as their ${base} has it.`;
  return fleet
    ? `What this node, ${name}, has served alone: the others of its fleet have their own.`
    : `What this node, ${name}, has served.`;
}

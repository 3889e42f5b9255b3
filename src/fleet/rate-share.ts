/**
 * How the nodes of a fleet share one limit: pure.
 *
 * Each node takes the share of its demand, refused requests included, of all demand that was told in the last second. Nobody's
 * share is less than a fourth of an equal one: what comes to an idle node is served while the others hear of it. Shares are never
 * exact, since each node works with what it heard last; that harms nobody but for moments, money has grants.
 */

/** The least of an equal share that an idle node keeps, before all are made one again. */
const IDLE_SHARE = 1 / 4;

/**
 * @param own demand of this node, in any unit
 * @param others theirs, one for each node
 * @returns above 0, at most 1; all nodes' together are 1
 */
export function rateShare(own: number, others: readonly number[]): number {
  const nodes = others.length + 1;
  if (nodes === 1) return 1;
  const sum = others.reduce((all, one) => all + one, own);
  if (sum <= 0) return 1 / nodes;
  const least = IDLE_SHARE / nodes;
  const weight = (demand: number): number => Math.max(demand / sum, least);
  const weights = others.reduce((all, one) => all + weight(one), weight(own));
  return weight(own) / weights;
}

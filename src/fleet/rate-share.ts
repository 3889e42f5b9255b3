/**
 * How the nodes of a fleet share one limit: pure.
 *
 * Each node takes the share of its demand, refused requests included, of all demand that was told in the last second. Nobody's
 * share is less than a fourth of an equal one: what comes to an idle node is served while the others hear of it. Shares are never
 * exact, since each node works with what it heard last; that harms nobody but for moments, money has grants.
 */

/** The least of an equal share that an idle node keeps, before all are made one again. */
const IDLE_SHARE = 1 / 4;

/** This node's share of one limit, and how full that is of which the others gave it. */
export interface RateShare {
  /** Above 0, at most 1; all nodes' together are 1. */
  readonly share: number;
  /** Of the others' shares together: 1 all of a minute's worth, 0 nothing. */
  readonly fullness: number;
}

/** What another node told of one limit. */
export interface TheirRate {
  readonly demand: number;
  readonly fullness: number;
}

/**
 * @param own demand of this node, in any unit
 * @param others theirs, one for each node
 */
export function rateShare(own: number, others: readonly TheirRate[]): RateShare {
  const nodes = others.length + 1;
  const sum = others.reduce((all, { demand }) => all + demand, own);
  const least = IDLE_SHARE / nodes;
  const weight = (demand: number): number => (sum <= 0 ? 1 / nodes : Math.max(demand / sum, least));
  let theirs = 0;
  let full = 0;
  for (const { demand, fullness } of others) {
    theirs += weight(demand);
    full += weight(demand) * fullness;
  }
  const ours = weight(own);
  return { share: ours / (ours + theirs), fullness: theirs === 0 ? 1 : full / theirs };
}

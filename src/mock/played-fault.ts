import { faultOf } from './faults.ts';

const SPEC = /^([a-z0-9-]{1,48})(?:;retry-after=(\d{1,5}))?$/;

/**
 * @param spec as `x-sluice-rehearse` says a fault: `503`, `429;retry-after=3`, `stall-2`
 * @returns the model by which the mock knows it; null when it knows none of that name
 */
export function playedBy(spec: string): string | null {
  const [, name, seconds] = SPEC.exec(spec.trim()) ?? [];
  if (name === undefined) return null;
  const wanted = seconds === undefined ? name : `${name}-after-${seconds}`;
  // Of those that want a number, one is the least that shows anything.
  const spellings = [`fault-${wanted}`, `fault-${wanted}-1`, wanted];
  return spellings.find((model) => faultOf(model) !== null) ?? null;
}

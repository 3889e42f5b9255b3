import {
  FAILURES,
  type Failure,
  LANES,
  type Lane,
  WORKS,
  type Work,
  type WorkName,
} from './cases.ts';
import type { Client } from './clients.ts';

interface Called {
  /** Of this call alone within a test file; a virtual key made for it carries it as its key id. */
  readonly id: number;
  readonly lane: Lane;
  readonly says: string;
}

/** A call that works, and what it leaves behind. */
export interface WorkCall extends Called {
  readonly kind: 'work';
  readonly name: WorkName;
  readonly work: Work;
}

/** A call that is refused. */
export interface FailingCall extends Called {
  readonly kind: 'failure';
  readonly name: string;
  readonly failure: Failure;
}

export type Call = WorkCall | FailingCall;

/**
 * Every call of a client, in both lanes.
 * @param firstId ids count up from here
 */
export function callsOf(client: Client, firstId: number): readonly Call[] {
  let id = firstId;
  return LANES.flatMap((lane): readonly Call[] => [
    ...client.works.map((name): WorkCall => {
      const work = WORKS[name];
      return { kind: 'work', id: id++, lane, name, says: work.says, work };
    }),
    ...FAILURES.filter(
      ({ name, lanes, insists }) =>
        lanes.includes(lane) &&
        (client.keyless || name !== 'no-key') &&
        (!insists || client.works.includes('retry')),
    ).map((failure): FailingCall => {
      const { name, says } = failure;
      return { kind: 'failure', id: id++, lane, name, says, failure };
    }),
  ]);
}

import {
  FAILURES,
  type Failure,
  isOwn,
  LANES,
  type Lane,
  WIRES,
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

/** What a client does with its own provider alone. */
const OWN_WORKS: readonly WorkName[] = ['embeddings', 'count'];
/** What a client does on other wires alone: its own provider shows no thoughts there, or has its own clients for them. */
const OTHER_WORKS: readonly WorkName[] = ['reasoning'];

/**
 * Every call of a client, in all lanes: with both kinds of keys, and on each wire that is not its own.
 * @param firstId ids count up from here
 */
export function callsOf(client: Client, firstId: number): readonly Call[] {
  let id = firstId;
  const wires = WIRES.filter((wire) => wire !== client.wire);
  return [...LANES, ...wires].flatMap((lane): readonly Call[] => [
    ...client.works
      .filter((name) => !(isOwn(lane) ? OTHER_WORKS : OWN_WORKS).includes(name))
      .map((name): WorkCall => {
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

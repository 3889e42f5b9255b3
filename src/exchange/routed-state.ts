/** Where a routed request stands; ARCHITECTURE.md prints the table. A pair that is not listed stays. */

export type RoutedState =
  | 'gathering'
  | 'pinned'
  | 'trying'
  | 'waiting'
  | 'committed'
  | 'resuming'
  | 'over';

export type RoutedEvent =
  /** The body is whole: planned, first attempt. */
  | 'last'
  /** The body goes on behind the first attempt: too large to be kept, or a plain name. */
  | 'full'
  /** A rejection of the gateway's own. */
  | 'refused'
  /** Every key or target rests for a short while. */
  | 'waits'
  | 'due'
  /** The answer is the client's from here on. */
  | 'content'
  /** A stream broke behind its commit, and another target is asked for its rest. */
  | 'breaks'
  | 'end'
  | 'gone';

export const ROUTED_STATES: Readonly<
  Record<RoutedState, Readonly<Partial<Record<RoutedEvent, RoutedState>>>>
> = {
  gathering: { last: 'trying', full: 'pinned', refused: 'over', end: 'over', gone: 'over' },
  pinned: { content: 'committed', refused: 'over', end: 'over', gone: 'over' },
  trying: { waits: 'waiting', content: 'committed', refused: 'over', end: 'over', gone: 'over' },
  waiting: { due: 'trying', refused: 'over', end: 'over', gone: 'over' },
  committed: { breaks: 'resuming', refused: 'over', end: 'over', gone: 'over' },
  resuming: { content: 'committed', refused: 'over', end: 'over', gone: 'over' },
  over: {},
};

export function nextRoutedState(state: RoutedState, event: RoutedEvent): RoutedState {
  return ROUTED_STATES[state][event] ?? state;
}

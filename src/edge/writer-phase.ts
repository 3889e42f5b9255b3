import { type LinkedState, linkedStates, type StateTable } from '../state-links.ts';

/**
 * Where a response stands on its way to the client. One small table; ARCHITECTURE.md prints it. A pair that is not
 * listed stays, so what comes late can undo no end.
 */

type PhaseName = 'idle' | 'open' | 'answering' | 'ending' | 'cutting' | 'closed';

/** `over`: the front end has all of it, or the connection is gone. From there on every method of `res` throws. */
export type WriterEvent = 'start' | 'answer' | 'end' | 'cut' | 'over';

export const WRITER_PHASES: StateTable<PhaseName, WriterEvent> = {
  idle: { start: 'open', answer: 'answering', cut: 'cutting', over: 'closed' },
  open: { answer: 'answering', end: 'ending', cut: 'cutting', over: 'closed' },
  answering: { over: 'closed' },
  ending: { cut: 'cutting', over: 'closed' },
  cutting: { over: 'closed' },
  closed: {},
};

export type WriterPhase = LinkedState<WriterEvent>;

export const PHASE = linkedStates(WRITER_PHASES);

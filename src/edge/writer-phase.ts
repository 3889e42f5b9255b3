/**
 * Where a response stands on its way to the client. One small table; ARCHITECTURE.md prints it. A pair that is not
 * listed stays, so what comes late can undo no end.
 */

export type WriterPhase = 'idle' | 'open' | 'answering' | 'ending' | 'cutting' | 'closed';

/** `over`: the front end has all of it, or the connection is gone. From there on every method of `res` throws. */
export type WriterEvent = 'start' | 'answer' | 'end' | 'cut' | 'over';

export const WRITER_PHASES: Readonly<
  Record<WriterPhase, Readonly<Partial<Record<WriterEvent, WriterPhase>>>>
> = {
  idle: { start: 'open', answer: 'answering', cut: 'cutting', over: 'closed' },
  open: { answer: 'answering', end: 'ending', cut: 'cutting', over: 'closed' },
  answering: { over: 'closed' },
  ending: { cut: 'cutting', over: 'closed' },
  cutting: { over: 'closed' },
  closed: {},
};

export function nextWriterPhase(phase: WriterPhase, event: WriterEvent): WriterPhase {
  return WRITER_PHASES[phase][event] ?? phase;
}

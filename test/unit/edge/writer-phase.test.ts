import { expect, it } from 'vitest';
import {
  nextWriterPhase,
  WRITER_PHASES,
  type WriterEvent,
  type WriterPhase,
} from '../../../src/edge/writer-phase.ts';

const EVENTS: readonly WriterEvent[] = ['start', 'answer', 'end', 'cut', 'over'];
const PHASES = Object.keys(WRITER_PHASES) as readonly WriterPhase[];

it('nothing reopens what is closed, and over closes whatever it meets', () => {
  for (const event of EVENTS) expect(nextWriterPhase('closed', event)).toBe('closed');
  for (const phase of PHASES) expect(nextWriterPhase(phase, 'over')).toBe('closed');
});

it('a second answer, a second start and an end behind a cut change nothing', () => {
  expect(nextWriterPhase('answering', 'answer')).toBe('answering');
  expect(nextWriterPhase('open', 'start')).toBe('open');
  expect(nextWriterPhase('cutting', 'end')).toBe('cutting');
});

it('a message that was ended can still be cut, one that was answered cannot', () => {
  expect(nextWriterPhase('ending', 'cut')).toBe('cutting');
  expect(nextWriterPhase('answering', 'cut')).toBe('answering');
});

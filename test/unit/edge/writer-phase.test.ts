import { expect, it } from 'vitest';
import { PHASE, type WriterEvent } from '../../../src/edge/writer-phase.ts';

const EVENTS: readonly WriterEvent[] = ['start', 'answer', 'end', 'cut', 'over'];

it('nothing reopens what is closed, and over closes whatever it meets', () => {
  for (const event of EVENTS) expect(PHASE.closed[event]).toBe(PHASE.closed);
  for (const phase of Object.values(PHASE)) expect(phase.over).toBe(PHASE.closed);
});

it('a second answer, a second start and an end behind a cut change nothing', () => {
  expect(PHASE.answering.answer).toBe(PHASE.answering);
  expect(PHASE.open.start).toBe(PHASE.open);
  expect(PHASE.cutting.end).toBe(PHASE.cutting);
});

it('a message that was ended can still be cut, one that was answered cannot', () => {
  expect(PHASE.ending.cut).toBe(PHASE.cutting);
  expect(PHASE.answering.cut).toBe(PHASE.answering);
});

import { expect, it } from 'vitest';
import { linkedStates } from '../../src/state-links.ts';

const TABLE = {
  begun: { end: 'ended', stop: 'stopped' },
  stopped: { go: 'begun', end: 'ended' },
  ended: {},
} as const;

it('each state leads where its row says, and to itself by every event that is not in it', () => {
  const { begun, stopped, ended } = linkedStates<
    'begun' | 'stopped' | 'ended',
    'go' | 'stop' | 'end'
  >(TABLE);
  expect(begun.stop).toBe(stopped);
  expect(begun.end).toBe(ended);
  expect(begun.go).toBe(begun);
  expect(stopped.go).toBe(begun);
  expect(stopped.stop).toBe(stopped);
  for (const event of ['go', 'stop', 'end'] as const) expect(ended[event]).toBe(ended);
});

it('states are told apart by what they are, however alike their rows', () => {
  const { one, other } = linkedStates<'one' | 'other', 'event'>({
    one: { event: 'one' },
    other: {},
  });
  expect(one === other).toBe(false);
  expect(other.event === one).toBe(false);
});

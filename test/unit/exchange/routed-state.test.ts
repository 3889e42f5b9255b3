import { expect, test } from 'vitest';
import { nextRoutedState, ROUTED_STATES } from '../../../src/exchange/routed-state.ts';

test('a request whose body has led somewhere can end, whatever it is doing: its deadline waits for nobody', () => {
  for (const state of ['pinned', 'trying', 'waiting', 'committed', 'resuming'] as const)
    expect([state, nextRoutedState(state, 'end')]).toEqual([state, 'over']);
});

test('what is over stays over', () => {
  expect(ROUTED_STATES.over).toEqual({});
});

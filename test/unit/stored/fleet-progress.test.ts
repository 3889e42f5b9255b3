import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FleetProgress } from '../../../src/stored/fleet-progress.ts';

describe('how much of the bucket a node was told', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is all of it when the revision that the bucket had was reached, and not before', async () => {
    const progress = new FleetProgress();
    progress.joined(() => Promise.resolve(7));
    progress.reached(5);
    let said: boolean | null = null;
    const asked = progress.caughtUp().then((isTold) => {
      said = isTold;
    });
    await vi.advanceTimersByTimeAsync(0);
    progress.reached(6);
    await vi.advanceTimersByTimeAsync(0);
    expect(said).toBeNull();
    progress.reached(7);
    await asked;
    expect(said).toBe(true);
    expect(await progress.caughtUp()).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not to be said without a connection, when it ends, when it fails, and when what is missing never comes', async () => {
    const progress = new FleetProgress();
    expect(await progress.caughtUp()).toBe(false);
    progress.joined(() => Promise.reject(new Error('no answer')));
    expect(await progress.caughtUp()).toBe(false);
    progress.joined(() => Promise.resolve(7));
    const cut = progress.caughtUp();
    await vi.advanceTimersByTimeAsync(0);
    progress.left();
    expect(await cut).toBe(false);
    progress.joined(() => Promise.resolve(7));
    const never = progress.caughtUp();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await never).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is nothing when the bucket or its secret became another one', async () => {
    const progress = new FleetProgress();
    progress.joined(() => Promise.resolve(3));
    progress.reached(9);
    progress.reset();
    const asked = progress.caughtUp();
    await vi.advanceTimersByTimeAsync(0);
    progress.reached(3);
    expect(await asked).toBe(true);
    expect(progress.revision).toBe(3);
  });
});

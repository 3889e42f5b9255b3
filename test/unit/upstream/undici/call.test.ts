import type { Dispatcher } from 'undici';
import { expect, it } from 'vitest';
import type { UpstreamFailure } from '../../../../src/upstream/failure.ts';
import type { UpstreamEvents } from '../../../../src/upstream/transport.ts';
import {
  UndiciCall,
  type UndiciConnection,
  type UndiciHome,
} from '../../../../src/upstream/undici/call.ts';

/** One that was used before, so that it may have died meanwhile. */
const KEPT: UndiciConnection = { isReused: true, used() {}, doubt() {}, giveUp() {} };
const CONTROLLER = {
  abort() {},
  pause() {},
  resume() {},
} as unknown as Dispatcher.DispatchController;

/** Whatever it is given meets a kept connection that has died: also what asked for a fresh one, as undici may misread it. */
class DeadHome implements UndiciHome {
  readonly host = 'h';
  readonly timeouts = { connectTimeoutMs: 0, firstByteTimeoutMs: 0, idleTimeoutMs: 0 };
  readonly now = 0;
  readonly tickMs = 500;
  readonly isHttp2 = false;
  readonly targetPrefix = '';
  readonly proxyFields: readonly string[] = [];
  readonly fresh: boolean[] = [];

  dispatch(_options: Dispatcher.DispatchOptions, call: UndiciCall, fresh: boolean): void {
    this.fresh.push(fresh);
    if (this.fresh.length > 5) throw new Error('It is repeated for ever.');
    queueMicrotask(() => {
      call.takenBy(KEPT);
      call.onRequestStart(CONTROLLER);
      const died = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
      call.onResponseError(CONTROLLER, died);
    });
  }
  onOver(): void {}
  onBug(): void {}
}

it('a request that meets two dead connections is repeated once, and then fails by the second', async () => {
  const home = new DeadHome();
  let retries = 0;
  const failure = await new Promise<UpstreamFailure>((failed) => {
    const events: UpstreamEvents = {
      onRequestRetried: () => void retries++,
      onUploadDrained() {},
      onResponseHead() {},
      onResponseChunk() {},
      onResponseEnd() {},
      onUpstreamFailure: failed,
    };
    const request = {
      method: 'GET',
      target: '/',
      fields: [],
      poolKey: null,
      owner: '',
      coding: 'none' as const,
      contentLength: -1,
    };
    new UndiciCall(home, request, [], true, events);
  });
  expect(failure).toMatchObject({ kind: 'reset' });
  expect(retries).toBe(1);
  expect(home.fresh).toEqual([false, true]);
});

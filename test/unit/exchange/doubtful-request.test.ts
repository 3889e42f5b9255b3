import { describe, expect, it } from 'vitest';
import type { ClientEvents } from '../../../src/edge/door.ts';
import { DoubtfulRequest } from '../../../src/exchange/doubtful-request.ts';

/** Writes down what happens, in its order. */
function scene(becomes?: (events: ClientEvents) => ClientEvents) {
  const said: string[] = [];
  const say = (text: string) => (): void => {
    said.push(text);
  };
  const events: ClientEvents = {
    onBodyChunk: (chunk, last) => said.push(`${chunk.toString()}${last ? '.' : ''}`),
    onUploadSilent: say('silent'),
    onUploadStalled: say('stalled'),
    onUploadRefused: say('upload refused'),
    onWriterDrained: say('drained'),
    onResponseOver: say('over'),
    onClientGone: say('gone'),
    onBroken: say('broken'),
  };
  const request = new DoubtfulRequest(
    { isOver: false, pause: say('pause'), resume: say('resume') },
    {
      isKnown: () => false,
      become: () => {
        said.push('became');
        return becomes === undefined ? events : becomes(events);
      },
      left: say('left'),
      onBroken: say('broken before'),
    },
  );
  return { request, said };
}

describe('a request that waits for what its fleet knows', () => {
  it('is what it became from then on, with what came of its body meanwhile', () => {
    const { request, said } = scene();
    const lent = Buffer.from('one');
    request.onBodyChunk(lent, false);
    lent.fill('x');
    request.onBodyChunk(Buffer.from('two'), true);
    request.told();
    request.told();
    request.onWriterDrained();
    request.onResponseOver();
    expect(said).toEqual(['pause', 'pause', 'resume', 'became', 'one', 'two.', 'drained', 'over']);
  });

  it('becomes nothing when its client has left', () => {
    const { request, said } = scene();
    request.onClientGone();
    request.onBodyChunk(Buffer.from('late'), true);
    request.told();
    expect(said).toEqual(['left']);
  });

  it('that meets a bug is ended by whoever had it then, once', () => {
    const before = scene(() => {
      throw new Error('a bug');
    });
    before.request.told();
    before.request.told();
    expect(before.said).toEqual(['resume', 'became', 'broken before']);
    const behind = scene((events) => ({
      ...events,
      onBodyChunk: () => {
        throw new Error('a bug');
      },
    }));
    behind.request.onBodyChunk(Buffer.from('one'), true);
    behind.request.told();
    expect(behind.said).toEqual(['pause', 'resume', 'became', 'broken']);
  });
});

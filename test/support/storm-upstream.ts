import { pause } from './conditions.ts';
import { seededRandom } from './fixtures.ts';
import type { Turn } from './scripted-upstream.ts';
import { type Plan, planOf } from './storm-plan.ts';

/**
 * The upstream's end of one exchange of the storm; a script, or a part of one. The target ends with the plan's seed.
 * @param onBody told once the request's body has come whole, and whether each byte of it was right
 */
export async function playStorm(
  turn: Turn,
  onBody: (plan: Plan, isRight: boolean) => void,
): Promise<void> {
  const plan = planOf(Number(turn.request.target.split('/').pop()));
  if (plan.fate === 'upstream-resets-first') {
    turn.reset();
    return;
  }
  if (plan.slowUpstream && plan.fate !== 'answered-early') await stutter(turn);
  if (plan.fate !== 'answered-early') await turn.bodyDone();
  if (turn.request.bodyDone) onBody(plan, turn.request.sha256 === plan.up.sha256());
  await answer(turn, plan);
}

/** Reads with pauses until the body is here. */
async function stutter({ request, socket }: Turn): Promise<void> {
  while (!request.bodyDone && !socket.destroyed) {
    socket.pause();
    await pause(5);
    socket.resume();
    await pause(5);
  }
}

async function answer(turn: Turn, { seed, down, downForm, fate, leaveAt, slowUpstream }: Plan) {
  const random = seededRandom(seed + 4);
  const sized = downForm === 'sized';
  if (sized) await turn.write(`HTTP/1.1 200 OK\r\ncontent-length: ${down.length}\r\n\r\n`);
  else await turn.stream(['content-type: application/octet-stream']);
  // Always at least a byte short.
  const stop = fate === 'upstream-cuts' ? Math.floor(down.length * leaveAt) : down.length;
  for (let at = 0; at < stop && !turn.socket.destroyed; ) {
    const piece = down.slice(at, Math.min(stop - at, 1 + Math.floor(2 ** (random() * 19))));
    at += piece.length;
    await (sized ? turn.write(piece) : turn.chunk(piece));
    if (slowUpstream && random() < 0.1) await pause(random() * 20);
  }
  if (fate === 'upstream-cuts') turn.reset();
  else if (!sized) await turn.lastChunk();
}

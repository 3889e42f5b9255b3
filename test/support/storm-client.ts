import { Agent, type IncomingMessage, request } from 'node:http';
import { pause } from './conditions.ts';
import { seededRandom } from './fixtures.ts';
import { BodyCheck } from './known-bytes.ts';
import { described, type Plan } from './storm-plan.ts';

/** What became of an exchange at the client. */
export interface Result {
  /** 0: no response head came. */
  status: number;
  /** Its framing said that nothing is missing. */
  complete: boolean;
  /** Every byte that came was right. */
  clean: boolean;
  bytes: number;
}

/** A connection of its own, kept from one exchange to the next. */
export class StormLane {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #port: number;
  readonly #path: string;

  /** @param path what the plan's seed is put behind */
  constructor(port: number, path = '/v1/storm') {
    this.#port = port;
    this.#path = path;
  }

  /** Resolves when the exchange is over for the client, whichever way. */
  run(plan: Plan): Promise<Result> {
    const result: Result = { status: 0, complete: false, clean: true, bytes: 0 };
    const { seed, up, upForm, fate } = plan;
    const length = upForm === 'sized' ? { 'content-length': String(up.length) } : {};
    return new Promise((resolve) => {
      const sent = request({
        agent: this.#agent,
        port: this.#port,
        host: '127.0.0.1',
        method: 'POST',
        path: `${this.#path}/${seed}`,
        headers: { authorization: 'Bearer sk-storm', ...length },
      });
      const over = (): void => resolve(result);
      sent.on('error', () => {});
      // Where a head came, the response's own end says what became of it, and may come later.
      sent.on('close', () => {
        if (result.status === 0) over();
      });
      sent.on('response', (response) => {
        void read(response, plan, result).then(over);
      });
      void upload(sent, plan);
      if (fate === 'client-leaves-waiting') setTimeout(() => sent.destroy(), plan.leaveAt * 50);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function upload(sent: ReturnType<typeof request>, plan: Plan): Promise<void> {
  const random = seededRandom(plan.seed + 2);
  const { up, fate, leaveAt } = plan;
  const stop = fate === 'client-leaves-uploading' ? up.length * leaveAt : Number.POSITIVE_INFINITY;
  for (let at = 0; at < up.length; ) {
    if (sent.destroyed) return;
    if (at >= stop) break;
    const piece = up.slice(at, 1 + Math.floor(2 ** (random() * 18)));
    at += piece.length;
    await written(sent, piece);
    if (random() < 0.01) await pause(random() * 10);
  }
  if (fate === 'client-leaves-uploading') sent.destroy();
  else sent.end();
}

/** Not by 'drain': Node emits none once the response has ended, and an upload may outlive its response. */
function written(sent: ReturnType<typeof request>, piece: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sent.off('close', done).off('error', done);
      resolve();
    };
    sent.on('close', done).on('error', done);
    sent.write(piece, done);
  });
}

/** Resolves when the response is over, however it ended. */
async function read(response: IncomingMessage, plan: Plan, result: Result): Promise<void> {
  const random = seededRandom(plan.seed + 3);
  const check = new BodyCheck(plan.down);
  result.status = response.statusCode ?? 0;
  const own = result.status !== 200;
  response.on('data', (piece: Buffer) => {
    result.bytes += piece.length;
    if (!own) check.push(piece);
    if (plan.fate === 'client-leaves-reading' && result.bytes >= plan.down.length * plan.leaveAt) {
      response.destroy();
    } else if (plan.slowReader && random() < 0.05) {
      response.pause();
      setTimeout(() => response.resume(), random() * 40);
    }
  });
  await new Promise<void>((resolve) => {
    response.on('close', () => resolve());
    response.on('error', () => {});
  });
  result.complete = response.complete;
  result.clean = own || check.wrongAt === null;
}

/** What is wrong with a result, or null. Clients that leave only have to have read right bytes. */
export function wrong(plan: Plan, { status, complete, clean, bytes }: Result): string | null {
  const said = `${described(plan)}: ${status}, ${complete ? 'complete' : 'cut'}, ${bytes} bytes`;
  if (!clean) return `corrupt response, ${said}`;
  switch (plan.fate) {
    case 'whole':
    case 'answered-early':
      return status === 200 && complete && bytes === plan.down.length ? null : `lost, ${said}`;
    case 'upstream-resets-first':
      return status === 502 && complete ? null : `no 502, ${said}`;
    case 'upstream-cuts':
      // Cut before a byte of a chunked body was relayed, it may still be told as a 502.
      // Nothing is missing from a sized body of no bytes.
      if (status === 200 && plan.downForm === 'sized' && plan.down.length === 0) return null;
      return status === 502 || !complete ? null : `a cut ended cleanly, ${said}`;
    default:
      return null;
  }
}

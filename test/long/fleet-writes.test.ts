import { connect } from 'nats';
import { expect, it } from 'vitest';
import { pause } from '../support/conditions.ts';
import { FleetNode } from '../support/fleet-node.ts';
import { BUCKET, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';

const NODES = 10;
const SCOPES = 1_000;
/** Nano-dollars: a thousand dollars a day, requests of two cents. */
const LIMIT = 1_000_000_000_000;
const REQUEST = 20_000_000;

const WARM_MS = 30_000;
const MEASURED_MS = 10_000;

async function lastRevision(nats: NatsServer): Promise<number> {
  const connection = await connect(nats.client);
  try {
    const manager = await connection.jetstreamManager();
    return (await manager.streams.info(`KV_${BUCKET}-fleet`)).state.last_seq;
  } finally {
    await connection.close();
  }
}

it('a thousand budgets that ten nodes spend from are less than 500 writes a second', async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  const nats = await startNats();
  const nodes = Array.from({ length: NODES }, (_, at) => new FleetNode({ nats, name: `n${at}` }));
  let isOver = false;
  let done = 0;
  let late = 0;
  try {
    await Promise.all(nodes.map(async (node) => await node.start()));
    // Each budget is spent from at each node about once in five seconds.
    const spending = nodes.map(async (node) => {
      for (let at = 0; !isOver; at++) {
        void node.spend(String(at % SCOPES), LIMIT, REQUEST, REQUEST, 50).then((came) => {
          if (came === 'done') done++;
          else late++;
        });
        if (at % 20 === 19) await pause(100);
      }
    });
    await pause(WARM_MS);
    const before = await lastRevision(nats);
    const beganMs = performance.now();
    const cpu = process.cpuUsage();
    done = 0;
    late = 0;
    await pause(MEASURED_MS);
    const seconds = (performance.now() - beganMs) / 1_000;
    const perSecond = ((await lastRevision(nats)) - before) / seconds;
    const { user, system } = process.cpuUsage(cpu);
    const percent = (user + system) / 1e4 / seconds / NODES;
    isOver = true;
    await Promise.all(spending);
    console.log(
      `${perSecond.toFixed(0)} writes/s of ${NODES} nodes with ${SCOPES} budgets, ${(done / seconds).toFixed(0)} requests/s, ` +
        `${late} waited for more than 50 ms; ${percent.toFixed(1)} % of a core a node, its requests included`,
    );
    expect(done).toBeGreaterThan(SCOPES);
    expect(perSecond).toBeLessThan(500);
  } finally {
    isOver = true;
    await Promise.all(nodes.map(async (node) => await node.end()));
    await nats.kill();
  }
});

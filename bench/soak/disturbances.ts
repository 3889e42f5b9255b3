import { until } from '../../test/support/conditions.ts';
import { statuses } from '../../test/support/every-worker.ts';
import { PROBE_TENANT } from './ledger.ts';
import { DENIABLE_FROM, TENANTS } from './order.ts';
import { probeKey, type Stage } from './stage.ts';
import type { Windows } from './windows.ts';

/** Something that is done to the surroundings while traffic runs. Rejects when its effect does not come about. */
interface Disturbance {
  readonly name: string;
  readonly run: (stage: Stage, windows: Windows) => Promise<void>;
}

/** Answers of a mock to the probe, which asks for nothing: 400, and no cost. */
const LET_IN = 400;
const HELD = 402;

type Lift = () => Promise<void>;

/** @returns how the hold is lifted */
async function deny(stage: Stage, windows: Windows, tenant: number): Promise<Lift> {
  const hold = windows.hold(tenant);
  await stage.writer.tenant(tenant, 'spend');
  await stage.writer.tenant(PROBE_TENANT, 'spend');
  await shows(stage, HELD);
  hold.heldMs = Date.now();
  return async () => {
    hold.liftAskedMs = Date.now();
    await stage.writer.allowTenant(tenant);
    await stage.writer.allowTenant(PROBE_TENANT);
    await shows(stage, LET_IN);
    hold.liftedMs = Date.now();
  };
}

/** The bucket keeps order: what was written before the probe's entry holds as well. */
async function shows(stage: Stage, status: number): Promise<void> {
  const kid = stage.variable.kids.at(-1) ?? 0;
  await until(`${status} for the probe on every worker`, async () => {
    const seen = await statuses(stage.gateway, probeKey(kid));
    return seen.length === 1 && seen[0] === status;
  });
}

const connected = (stage: Stage, value: number): Promise<boolean> =>
  until(
    `ai_nats_connected ${value}`,
    async () => (await stage.gateway.metrics()).get('ai_nats_connected') === value,
    60_000,
  );

async function restartNats(stage: Stage): Promise<void> {
  await stage.nats.kill();
  await connected(stage, 0);
  await stage.nats.start();
  await connected(stage, 1);
  await stage.writeAnew();
}

/** Requests behind the load's learning of a key: what had begun before with the old one is admitted by then. */
const HANDED_OVER = 60;

async function rotateSigning(stage: Stage): Promise<void> {
  const [old = 0] = stage.variable.kids;
  const next = old + 1;
  await stage.change({ kids: [old, next] });
  stage.tellLoad({ kind: 'kid', kid: next });
  const asked = async (): Promise<number> =>
    (await stage.gateway.metrics()).get('ai_requests_total');
  const before = await asked();
  await until('requests with the new key', async () => (await asked()) > before + HANDED_OVER);
  await stage.change({ kids: [next] });
}

async function rotatePool(stage: Stage): Promise<void> {
  await stage.change({ poolGeneration: stage.variable.poolGeneration + 1 });
}

async function moveProviders(stage: Stage): Promise<void> {
  await stage.change({ mock: stage.variable.mock === 'mockA' ? 'mockB' : 'mockA' });
}

async function restartUpstream(stage: Stage, windows: Windows): Promise<void> {
  const back = windows.away();
  await stage.restartUpstream();
  back();
}

/**
 * In this order, over and over. Each deny is lifted by the next allow, with NATS gone in between.
 * @param random chooses who is cut off
 */
export function disturbances(random: () => number): readonly Disturbance[] {
  let lift: Lift = async () => {};
  return [
    {
      name: 'deny',
      run: async (stage, windows) => {
        const tenant = DENIABLE_FROM + Math.floor(random() * (TENANTS - DENIABLE_FROM));
        lift = await deny(stage, windows, tenant);
      },
    },
    { name: 'nats restart', run: restartNats },
    { name: 'allow', run: () => lift() },
    { name: 'pool key rotated', run: rotatePool },
    { name: 'providers restart', run: restartUpstream },
    { name: 'signing key rotated', run: rotateSigning },
    { name: 'providers moved', run: moveProviders },
    { name: 'bad configuration', run: (stage) => stage.spoil() },
  ];
}

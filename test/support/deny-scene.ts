import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { until } from './conditions.ts';
import { statuses } from './every-worker.ts';
import { authorities, Gateway, type LogLine } from './gateway.ts';
import { poolKeys, signingKeys } from './managed.ts';
import { type DenyWriter, denyWriter, NATS_MISSING, type NatsServer, startNats } from './nats.ts';
import { type ScriptedUpstream, startUpstream } from './scripted-upstream.ts';

interface DenyGatewayOptions {
  /** Of NATS; null: none is configured. Default: the scene's. */
  readonly url?: string | null;
  readonly snapshot?: string;
  /** Further lines of the configuration. */
  readonly extra?: string;
}

/** A provider for the whole file, and for each test a NATS of its own and whatever gateways it starts. */
class DenyScene {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-deny-'));
  readonly #gateways: Gateway[] = [];
  #upstream: ScriptedUpstream | null = null;
  #nats: NatsServer | null = null;
  #writer: DenyWriter | null = null;

  get nats(): NatsServer {
    return present(this.#nats);
  }

  get writer(): DenyWriter {
    return present(this.#writer);
  }

  async open(): Promise<void> {
    this.#upstream = await startUpstream(async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
    });
  }

  async begin(): Promise<void> {
    this.#nats = await startNats();
    await this.writeAnew();
  }

  /** A hand that is connected again, after NATS was away. */
  async writeAnew(): Promise<void> {
    this.#writer = await denyWriter(this.nats);
  }

  async end(): Promise<void> {
    for (const gateway of this.#gateways.splice(0)) await gateway.stop();
    await this.#writer?.close().catch(() => {});
    await this.#nats?.kill();
  }

  async close(): Promise<void> {
    await this.#upstream?.close();
  }

  /** Two workers that know `token()` and follow NATS; not waited for. */
  launch({ url, snapshot, extra = '' }: DenyGatewayOptions = {}): Gateway {
    const { port } = present(this.#upstream);
    const from = url === undefined ? this.nats.url : url;
    const gateway = new Gateway({
      config:
        `workers = 2\n${extra}` +
        (from === null ? '' : `nats_url = "${from}"\n`) +
        (snapshot === undefined ? '' : `snapshot_path = "${snapshot}"\n`) +
        authorities({ openai: port, anthropic: port }) +
        poolKeys({ openai: 'sk-pool', anthropic: 'ant-pool' }) +
        signingKeys(),
    });
    this.#gateways.push(gateway);
    return gateway;
  }

  async gateway(options: DenyGatewayOptions = {}): Promise<Gateway> {
    return await this.launch(options).ready();
  }
}

/** To be called once in a test file. Its tests are skipped, with the reason, where there is no nats-server. */
export function denyScene(): DenyScene {
  const scene = new DenyScene();
  beforeAll(() => scene.open());
  afterAll(() => scene.close());
  beforeEach(async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    await scene.begin();
  });
  afterEach(() => scene.end());
  return scene;
}

function present<Part>(part: Part | null): Part {
  if (part === null) throw new Error('the scene has not begun');
  return part;
}

/** Resolves when the gateway has the bucket's whole set, with the line that says so. */
export async function synced(gateway: Gateway): Promise<LogLine> {
  return await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
}

/** Resolves when a key gets this status from every worker of every gateway. */
export async function settles(
  list: readonly Gateway[],
  key: string,
  status: number,
): Promise<void> {
  for (const gateway of list) {
    await until(`${status} for the key`, async () => {
      const seen = await statuses(gateway, key);
      return seen.length === 1 && seen[0] === status;
    });
  }
}

/** Resolves when the gateway knows so many entries. */
export async function holds(gateway: Gateway, entries: number, boundMs?: number): Promise<void> {
  await until(
    `${entries} entries`,
    async () => (await gateway.metrics()).get('ai_deny_set_size') === entries,
    boundMs,
  );
}

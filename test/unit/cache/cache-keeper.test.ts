import { Buffer } from 'node:buffer';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import type { AnswerHead, KeptAnswer } from '../../../src/cache/answer-store.ts';
import { type CacheAsker, CacheClient, type Lead } from '../../../src/cache/cache-client.ts';
import { CacheKeeper } from '../../../src/cache/cache-keeper.ts';
import type { FromCache } from '../../../src/cache/cache-messages.ts';
import { loadConfig } from '../../../src/config/config.ts';
import type { Config } from '../../../src/config/config-document.ts';
import { until } from '../../support/conditions.ts';

// The thread itself, and workers' ways to it; the workers are this one.

const CACHED = '[policies.default]\ncache = "exact"\n';
const folder = mkdtempSync(join(tmpdir(), 'sluice-cache-'));

function configOf(text: string): Config {
  const path = join(folder, 'config.toml');
  writeFileSync(path, text);
  return loadConfig({ path, env: {} }).config;
}

const HEAD: AnswerHead = {
  status: 200,
  lines: '',
  isEventStream: false,
  streamAsked: false,
  format: 'json',
};

/** What the keeper logged. */
const logged: string[] = [];
const keepers: CacheKeeper[] = [];
const ports: MessagePort[] = [];
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.stop();
  for (const port of ports.splice(0)) port.close();
  logged.length = 0;
});

function keeperOf(text: string): CacheKeeper {
  const keeper = new CacheKeeper(configOf(text), {
    write: (_level, event) => {
      logged.push(event);
    },
  });
  keepers.push(keeper);
  return keeper;
}

/** A worker: its client, which is another one whenever the thread is. */
class Workplace {
  client: CacheClient | null = null;
  port: MessagePort | null = null;
  given = 0;

  constructor(keeper: CacheKeeper, index: number) {
    keeper.connect(index, (port) => this.#take(port));
  }

  #take(port: MessagePort): void {
    const client = new CacheClient(
      (message, moved) => port.postMessage(message, [...moved]),
      (error) => {
        throw error;
      },
    );
    port.on('message', (message: FromCache) => client.hear(message));
    port.on('close', () => client.gone());
    ports.push(port);
    this.client = client;
    this.port = port;
    this.given++;
  }
}

class Asker implements CacheAsker {
  told = '';
  lead: Lead | null = null;

  hit({ body }: KeptAnswer): void {
    this.told = `hit ${Buffer.from(body).toString()}`;
  }

  leads(lead: Lead): void {
    this.told = 'lead';
    this.lead = lead;
  }

  follows(): void {
    this.told = 'follow';
  }

  alone(isAway: boolean): void {
    this.told = isAway ? 'away' : 'alone';
  }

  flightCame(): void {}

  onBroken(error: unknown): void {
    throw error;
  }
}

async function asked(at: Workplace, key: string): Promise<Asker> {
  const asker = new Asker();
  expect(at.client?.ask(key, false, asker)).toBe(true);
  await until('an answer of the cache', () => asker.told !== '');
  return asker;
}

async function kept(at: Workplace, key: string, text: string): Promise<void> {
  const { lead } = await asked(at, key);
  const body = new Uint8Array(Buffer.from(text));
  const made = {
    model: null,
    targetModel: null,
    route: null,
    costUsd: null,
    tenant: '1',
    key: '7',
  };
  lead?.settled({ head: HEAD, body, made, madeMs: 0, expiresMs: Number.MAX_SAFE_INTEGER });
}

describe('the thread of a node’s cache', () => {
  test('is there for all workers once a policy has a cache, and not before', async () => {
    const keeper = keeperOf('');
    const [one, two] = [new Workplace(keeper, 0), new Workplace(keeper, 1)];
    expect([one.given, two.given]).toEqual([0, 0]);
    keeper.configure(configOf(CACHED));
    expect([one.given, two.given]).toEqual([1, 1]);
    await kept(one, 'key', 'an answer');
    await until('it is kept', () => keeper.counts.answers === 1);
    expect((await asked(two, 'key')).told).toBe('hit an answer');
    // It is copied out, and not moved.
    expect((await asked(one, 'key')).told).toBe('hit an answer');
    expect(keeper.counts.bytes).toBeGreaterThan(9);
  });

  test('throws away what it is told to, and says how much that was', async () => {
    const keeper = keeperOf(CACHED);
    const worker = new Workplace(keeper, 0);
    await kept(worker, 'key', 'an answer');
    await until('it is kept', () => keeper.counts.answers === 1);
    const purged = (tenant: string): Promise<number> =>
      new Promise((resolve) => keeper.purge({ tenant, key: null }, resolve));
    expect([await purged('2'), await purged('1')]).toEqual([0, 1]);
    expect((await asked(worker, 'key')).told).toBe('lead');
    expect(
      await new Promise((resolve) => keeperOf('').purge({ tenant: null, key: null }, resolve)),
    ).toBe(0);
  });

  test('that dies is an answer to whoever waits, and is replaced', async () => {
    const keeper = keeperOf(CACHED);
    const worker = new Workplace(keeper, 0);
    const leader = await asked(worker, 'key');
    const follower = new Asker();
    worker.client?.ask('key', false, follower);
    await until('it follows', () => follower.told === 'follow');
    // No message of ours.
    worker.port?.postMessage(null);
    await until('nobody is waited for', () => follower.told === 'away');
    expect(leader.told).toBe('lead');
    leader.lead?.failed();
    await until('another thread', () => worker.given === 2);
    expect(logged).toContain('cache_thread_failed');
    await kept(worker, 'key', 'another one');
    expect((await asked(worker, 'key')).told).toBe('hit another one');
  });

  test('lets less room take effect at once', async () => {
    const keeper = keeperOf(`cache_max_mb = 2\n${CACHED}`);
    const worker = new Workplace(keeper, 0);
    for (let at = 0; at < 7; at++) await kept(worker, `key ${at}`, 'x'.repeat(250_000));
    await until('all are kept', () => keeper.counts.answers === 7);
    keeper.configure(configOf(`cache_max_mb = 1\n${CACHED}`));
    await until('the oldest are gone', () => keeper.counts.bytes <= 1_048_576);
    expect(keeper.counts.answersEvicted).toBe(3);
    expect((await asked(worker, 'key 6')).told).toMatch(/^hit x/);
  });
});

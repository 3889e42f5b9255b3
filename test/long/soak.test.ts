import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { growthOf } from '../../bench/soak/growth.ts';
import { runSoak, type SoakOptions } from '../../bench/soak/run.ts';
import type { Sample } from '../../bench/soak/sample.ts';
import { ROOT } from '../support/gateway.ts';
import { NATS_MISSING } from '../support/nats.ts';

/** SOAK_SEED repeats a run that found something. */
const SEED = Number(process.env['SOAK_SEED'] ?? 1 + Math.floor(Math.random() * 1e9));
const SHORT: SoakOptions = {
  minutes: 0.2,
  seed: SEED,
  rate: 40,
  sampleEverySeconds: 2,
  disturbEverySeconds: 3,
  onSample: () => {},
  onMark: () => {},
};

describe(`the soak (seed ${SEED})`, () => {
  const proxies: Server[] = [];
  beforeEach((ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  });
  afterAll(() => {
    for (const proxy of proxies) proxy.close();
  });

  it('passes for half a minute, and leaves a curve and its numbers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-soak-'));
    const args = ['--minutes', '0.5', '--seed', String(SEED), '--rate', '40', '--out', folder];
    const child = spawn(process.execPath, [join(ROOT, 'bench/soak.ts'), ...args]);
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => {
        text += data.toString();
      });
    const [code] = await once(child, 'close');
    expect({ code, text }).toEqual({ code: 0, text: expect.stringContaining('PASSED') });
    expect(readFileSync(join(folder, 'soak.svg'), 'utf8')).toMatch(/<polyline points="\d/);
    expect(existsSync(join(folder, 'soak.json'))).toBe(true);
    // It did what it is for.
    const { marks, totals } = JSON.parse(readFileSync(join(folder, 'soak.json'), 'utf8'));
    const names = marks.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['deny', 'nats restart', 'bad configuration']));
    expect(Math.min(totals.reported, totals.estimated, totals.none)).toBeGreaterThan(10);
  });

  it('fails when one usage fact is lost on its way', async () => {
    let isLost = false;
    const { faults } = await runSoak({
      ...SHORT,
      keepsLine: (line) => {
        if (isLost || line['usage_source'] !== 'reported') return true;
        isLost = true;
        return false;
      },
    });
    expect(isLost).toBe(true);
    expect(faults).toEqual([
      expect.stringContaining('facts in the log'),
      expect.stringContaining('no fact of what reached a provider'),
    ]);
  });

  it('fails when one byte of one answer is another one', async () => {
    let isChanged = false;
    const { faults } = await runSoak({
      ...SHORT,
      doorstep: async (port) => {
        const proxy = createServer((near) => {
          const far = connect(port, '127.0.0.1');
          for (const [from, to] of [
            [near, far],
            [far, near],
          ] as const) {
            from.on('error', () => to.destroy());
            from.on('close', () => to.destroy());
          }
          near.on('data', (data) => far.write(data));
          far.on('data', (data) => {
            const at = isChanged ? -1 : data.indexOf(`"content":" river`);
            if (at >= 0) {
              isChanged = true;
              data.write('s', at + 12);
            }
            near.write(data);
          });
        });
        proxies.push(proxy);
        proxy.listen(0, '127.0.0.1');
        await once(proxy, 'listening');
        return (proxy.address() as { port: number }).port;
      },
    });
    expect(isChanged).toBe(true);
    expect(faults).toEqual([expect.stringMatching(/^corrupt: byte .*siver/)]);
  });
});

describe('growth behind the warm-up', () => {
  /** Half an hour, a sample every 15 s, with the noise of garbage collection. */
  const samples = (of: (seconds: number) => Partial<Sample>): readonly Sample[] =>
    Array.from({ length: 120 }, (_, at) => {
      const seconds = (at + 1) * 15;
      const noise = ((at * 7) % 5) * 3;
      const rest = { fds: 60, inFlight: 5, streams: 5, requestsPerSecond: 60, factsPerSecond: 30 };
      const quiet = { trivialP50Ms: 1, trivialP99Ms: 5 };
      const errors = { rejections: 0, clientsGone: 0, upstreamErrors: 0 };
      const still = { rssMiB: 200 + noise, cpuUsPerRequest: 500 + noise };
      return { seconds, ...rest, ...quiet, ...errors, ...still, ...of(seconds) };
    });

  it('is none where memory is only noisy, or grows while the run is warm-up', () => {
    expect(growthOf(samples(() => ({})))).toMatchObject({ unjudged: null, faults: [] });
    const early = samples((seconds) => ({ rssMiB: 100 + Math.min(seconds, 290) }));
    expect(growthOf(early).faults).toEqual([]);
  });

  it('is a fault where each request leaves 300 bytes behind', () => {
    const leaking = samples((seconds) => ({ rssMiB: 200 + (seconds * 60 * 300) / 1_048_576 }));
    expect(growthOf(leaking).faults).toEqual([expect.stringContaining('resident memory grew')]);
  });

  it('is a fault where a request costs more the longer the gateway runs', () => {
    const slowing = samples((seconds) => ({ cpuUsPerRequest: 500 + seconds / 4 }));
    expect(growthOf(slowing).faults).toEqual([expect.stringContaining('CPU time')]);
  });

  it('is not judged of a run that is too short to tell', () => {
    expect(growthOf(samples(() => ({})).slice(0, 8)).unjudged).toContain('too few');
  });
});

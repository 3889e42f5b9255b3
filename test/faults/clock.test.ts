import { mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { factOf, facts, token } from '../support/managed.ts';
import { besideNeighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, startSiege } from '../support/siege.ts';

const PRELOAD = new URL('../support/jumping-clock.ts', import.meta.url).href;
const HOUR_MS = 3_600_000;
const YEAR_MS = 8_766 * HOUR_MS;
const JUMPS_MS = [HOUR_MS, -HOUR_MS, 10 * YEAR_MS, -20 * YEAR_MS, 0];

it('jumps of the clock by hours and years end no stream, stop no request and spoil no duration', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-clock-')), 'offset');
  const jump = (ms: number): void => {
    writeFileSync(`${file}.new`, String(ms));
    renameSync(`${file}.new`, file);
  };
  jump(0);
  const siege = await startSiege(
    async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
    },
    {
      config:
        'rate_limit_rps = 200\nbyo_rate_limit_rps = 200\nidle_timeout_secs = 5\nfirst_byte_timeout_secs = 5\nconnect_timeout_secs = 5',
      nodeArgs: ['--import', PRELOAD],
      env: { CLOCK_FILE: file },
    },
  );
  const { gateway } = siege;
  const times: number[] = [];
  await besideNeighbour(gateway, async () => {
    for (const jumpMs of JUMPS_MS) {
      jump(jumpMs);
      const client = new RawClient(gateway.port);
      for (let i = 0; i < 5; i++) {
        const response = await client.send(post(token(), CHAT)).response();
        expect(response.status).toBe(200);
        const fact = await factOf(gateway, response.field('x-sluice-request-id'));
        expect(fact).toMatchObject({ usage_source: 'reported', outcome: 'complete' });
        if (i === 0) times.push(Date.parse(String(fact['time'])) - Date.now());
      }
      client.close();
      // Longer than a tick of every clock of the house: none of them ends what runs.
      await pause(1_200);
    }
  });
  for (const [at, jumpMs] of JUMPS_MS.entries())
    expect(Math.abs((times[at] ?? 0) - jumpMs)).toBeLessThan(HOUR_MS / 2);
  for (const { duration_ms: took } of [...facts(gateway), ...gateway.access()]) {
    expect(Number(took)).toBeGreaterThanOrEqual(0);
    expect(Number(took)).toBeLessThan(HOUR_MS);
  }
  const metrics = await until('the histogram', () => gateway.metrics());
  expect(metrics.sum('ai_ttft_seconds_sum')).toBeLessThan(HOUR_MS / 1_000);
  await expectUnharmed(gateway);
  await siege.close();
});

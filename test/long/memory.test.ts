import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { get } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBlock } from '../../src/mock/pattern.ts';
import { authorities, type Gateway, ROOT, startGateway } from '../support/gateway.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

// The stated bound (brief, performance): at most 32 MiB above idle while 1 GiB goes through to a slow peer.
const MIB = 1_048_576;
const GIB = 1_024 * MIB;
const BOUND_BYTES = 32 * MIB;

describe('1 GiB down to a slow client stays within 32 MiB of idle', () => {
  const BLOCK = patternBlock(MIB);
  const PEER_BYTES_PER_SECOND = 64 * MIB;
  /** The reading peer rests after so much. */
  const PACE_BYTES = 2 * MIB;
  const WARM_BYTES = 64 * MIB;
  let gateway: Gateway;
  let upstream: ScriptedUpstream;

  beforeAll(async () => {
    upstream = await startUpstream(async (turn) => {
      const sized = turn.request.target === '/v1/sized';
      if (sized) await turn.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GIB}\r\n\r\n`);
      else await turn.stream(['content-type: application/octet-stream']);
      for (let sent = 0; sent < GIB && !turn.socket.destroyed; sent += BLOCK.length) {
        await (sized ? turn.write(BLOCK) : turn.chunk(BLOCK));
      }
      if (!sized) await turn.lastChunk();
    });
    gateway = await startGateway({
      config: `workers = 1\n${authorities({ openai: upstream.port })}`,
    });
    // Idle means warmed up: the first megabytes compile and size everything.
    for (const form of ['sized', 'chunked']) await down(`/v1/${form}`, WARM_BYTES);
  });
  afterAll(async () => {
    await gateway.stop();
    await upstream.close();
  });

  /** Reads at the peer's pace; resolves with the body's hash, or early when `limitBytes` were read. */
  function down(path: string, limitBytes: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: 'Bearer k' };
      const request = get({ port: gateway.port, path, headers, agent: false }, (response) => {
        const hash = createHash('sha256');
        let read = 0;
        let paced = 0;
        response.on('data', (data: Buffer) => {
          hash.update(data);
          read += data.length;
          if (read >= limitBytes && limitBytes < GIB) {
            request.destroy();
            resolve('');
          } else if (read >= paced + PACE_BYTES) {
            paced = read;
            response.pause();
            setTimeout(() => response.resume(), (PACE_BYTES / PEER_BYTES_PER_SECOND) * 1_000);
          }
        });
        response.on('end', () => resolve(response.complete ? hash.digest('hex') : 'incomplete'));
        response.on('error', () => resolve('incomplete'));
      });
      request.on('error', reject);
    });
  }

  it.each(['sized', 'chunked'])('%s', async (form) => {
    const whole = createHash('sha256');
    for (let sent = 0; sent < GIB; sent += BLOCK.length) whole.update(BLOCK);
    const idle = gateway.rssBytes();
    let peakBytes = 0;
    const watch = setInterval(() => {
      peakBytes = Math.max(peakBytes, gateway.rssBytes() - idle);
    }, 50);
    const sha256 = await down(`/v1/${form}`, GIB);
    clearInterval(watch);
    expect(sha256).toBe(whole.digest('hex'));
    expect(peakBytes).toBeLessThan(BOUND_BYTES);
  });
});

describe('1 GiB up to a slow upstream', () => {
  it('stays within 32 MiB of idle', () => {
    const script = join(ROOT, 'test/support/upload-memory.ts');
    const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
    const runs = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { chunked: boolean; peakBytes: number; intact: boolean });
    expect(runs, stderr).toHaveLength(2);
    for (const { intact, peakBytes } of runs) {
      expect(intact).toBe(true);
      expect(peakBytes).toBeLessThan(BOUND_BYTES);
    }
  });
});

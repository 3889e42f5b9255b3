import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { claimPort } from '../../../src/node/claimed-port.ts';
import { freePort } from '../../support/free-port.ts';

const host = '127.0.0.1';

/** @returns what the system says: null, or why not */
async function listens(port: number, reusePort: boolean): Promise<string | null> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true, reusePort }, resolve);
    });
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

it('a port that the system chose is nobody else’s until the workers have it, and theirs to share', async () => {
  const claimed = await claimPort({ host, port: 0 });
  expect(await listens(claimed.port, false)).toBe('EADDRINUSE');
  expect(await listens(claimed.port, true)).toBeNull();
  claimed.release();
  expect(await listens(claimed.port, false)).toBeNull();
  claimed.release();
});

it('two gateways that begin at once are never given the same one', async () => {
  const claimed = await Promise.all(
    Array.from({ length: 200 }, () => claimPort({ host, port: 0 })),
  );
  expect(new Set(claimed.map(({ port }) => port)).size).toBe(200);
  for (const one of claimed) one.release();
});

it('at a port that somebody chose nobody is let in before the workers are there', async () => {
  const port = await freePort();
  const claimed = await claimPort({ host, port });
  expect(claimed.port).toBe(port);
  expect(await listens(port, false)).toBeNull();
});

it('a port that another gateway shares with its workers is refused', async () => {
  const other = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) =>
    other.listen({ host, port, exclusive: true, reusePort: true }, resolve),
  );
  await expect(claimPort({ host, port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await new Promise((resolve) => other.close(resolve));
});

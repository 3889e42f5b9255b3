import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below what the system gives out by itself (32,768 on Linux): other files of tests are given ports by it all the time. */
const FROM = 12_000;
const TO = 32_000;

/** A loopback port that nobody has right now, and hardly anybody gets before it is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FROM, TO);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(false);
        else reject(error);
      });
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

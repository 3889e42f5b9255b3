import { type AddressInfo, createServer } from 'node:net';
import type { ListenAddress } from '../config/config-document.ts';

/** A port that the workers are about to share. */
export interface ClaimedPort {
  readonly port: number;
  /** The workers have it, or nobody will. */
  release(): void;
}

/**
 * Finds out which port the workers will share, and that nobody else has it. They share it on purpose, so a second
 * Sluice on the same port would silently get half of the connections (SO_REUSEPORT); a plain listener sees it. And for
 * port 0 the front end does not set SO_REUSEPORT, so the system's choice is made here, for all of them; it is kept until
 * they listen, since the system would choose it for another process meanwhile, and two gateways would share it. Of a port
 * that somebody chose nothing is kept: clients knock there while it starts, and would be let in and dropped.
 * @throws what the system says of it (`code`)
 */
export async function claimPort({ host, port: asked }: ListenAddress): Promise<ClaimedPort> {
  // Elsewhere libuv does not share ports (ENOTSUP), and a port that is kept alone could not be the workers' too.
  const isKept = asked === 0 && process.platform === 'linux';
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen({ host, port: asked, exclusive: true, reusePort: isKept }, resolve);
  });
  const { port } = probe.address() as AddressInfo;
  if (!isKept) await new Promise<void>((resolve) => probe.close(() => resolve()));
  return {
    port,
    release() {
      if (probe.listening) probe.close();
    },
  };
}

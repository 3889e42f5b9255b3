import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { kernelCalls } from '../kernel-calls.ts';

/**
 * What the kernel may hold of one client's upload, in bytes; it doubles the figure for its own bookkeeping (socket(7)).
 *
 * The front end goes on reading as long as a read fills its 524,288 bytes, whatever pause() says, so without a bound
 * one slow upload occupies what the kernel lets a receive buffer grow to: 33 MB here, measured 240 MB on the heap of one
 * worker. With it no read is ever full. Cost: a single upload gets 256 KiB per round trip, 250 MB/s at 1 ms.
 */
export const RECEIVE_BUFFER_BYTES = 262_144;

/**
 * What the kernel may hold of one client's response, in bytes; doubled like the other one.
 *
 * The front end drops a connection whose unsent tail finds no room for 10 s, and the kernel tells of room only when a
 * third of the buffer is free: 4 MB that a reader empties at 64 KB/s take 20 s to that point, half a megabyte takes 3.
 * So a tail that the front end still holds when a message has ended gets out. Cost: a single response gets 256 KiB per
 * round trip.
 */
export const SEND_BUFFER_BYTES = 262_144;

// asm-generic/socket.h, as on every Linux that uWebSockets.js has a binary for (x64, arm64).
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;

const STATE_LISTEN = '0A';
const COLUMN_LOCAL = 1;
const COLUMN_STATE = 3;
const COLUMN_INODE = 9;

/**
 * Bounds the kernel's buffers of this process's listening sockets on `port`; connections inherit it (tcp(7)). The front
 * end has no option for it and shows no descriptor, so the sockets are found by their port in /proc.
 *
 * @returns how many sockets were bounded; 0 where they cannot be: no /proc (other systems than Linux), no system calls
 */
export function boundClientBuffers(port: number): number {
  const inodes = listeningInodes(port);
  const calls = inodes.size === 0 ? null : kernelCalls();
  if (calls === null) return 0;
  // Ints in the machine's own byte order.
  const receive = Int32Array.of(RECEIVE_BUFFER_BYTES);
  const send = Int32Array.of(SEND_BUFFER_BYTES);
  let bounded = 0;
  for (const fd of socketsOf(inodes)) {
    const isBounded =
      calls.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, receive, receive.byteLength) === 0 &&
      calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, send, send.byteLength) === 0;
    if (isBounded) bounded++;
  }
  return bounded;
}

/** Bytes at most that a network namespace's own settings let the kernel's buffers of a connection grow to (tcp(7)). */
const NAMESPACE_BOUNDS = [
  ['/proc/sys/net/ipv4/tcp_rmem', 2 * RECEIVE_BUFFER_BYTES],
  ['/proc/sys/net/ipv4/tcp_wmem', 2 * SEND_BUFFER_BYTES],
] as const;

/**
 * Why what the kernel may hold of a client is not bounded here; null where it is, by system calls or by the network
 * namespace's settings. Without a bound a slow upload may occupy tens of megabytes of a worker, and the last megabytes of
 * a response may not reach a reader of less than some 400 KB/s: the front end gives up on a tail that waits for 10 s.
 */
export function clientBufferFault(): string | null {
  if (process.platform !== 'linux' || kernelCalls() !== null) return null;
  const isBounded = NAMESPACE_BOUNDS.every(([file, bytes]) => {
    const [most = ''] = readable(() => readFileSync(file, 'latin1').trim().split(/\s+/).slice(-1));
    return Number(most) > 0 && Number(most) <= bytes;
  });
  if (isBounded) return null;
  return (
    'koffi does not load here, and the kernel holds megabytes for a slow client: install it for this platform, or set ' +
    `net.ipv4.tcp_rmem and net.ipv4.tcp_wmem to at most ${2 * SEND_BUFFER_BYTES} in the gateway's network namespace`
  );
}

/** proc(5): /proc/net/tcp and tcp6 have a line per socket; the local address ends with the port in hexadecimal. */
function listeningInodes(port: number): ReadonlySet<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const table of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
    for (const line of readable(() => readFileSync(table, 'latin1').split('\n'))) {
      const columns = line.trim().split(/ +/);
      if (columns[COLUMN_STATE] !== STATE_LISTEN) continue;
      if (columns[COLUMN_LOCAL]?.endsWith(suffix)) inodes.add(`socket:[${columns[COLUMN_INODE]}]`);
    }
  }
  return inodes;
}

function socketsOf(inodes: ReadonlySet<string>): readonly number[] {
  const fds = readable(() => readdirSync('/proc/self/fd'));
  return fds
    .filter((fd) =>
      readable(() => [readlinkSync(`/proc/self/fd/${fd}`)]).some((to) => inodes.has(to)),
    )
    .map(Number);
}

/** A descriptor may be gone by now, and other systems have none of this. */
function readable(read: () => readonly string[]): readonly string[] {
  try {
    return read();
  } catch {
    return [];
  }
}

import dns, { type LookupAddress, type LookupOptions } from 'node:dns';

type Found = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

interface LookUp {
  readonly beganMs: number;
  readonly waiting: Found[];
}

/**
 * What has not been answered for so long is asked for again, in milliseconds: how long a resolver takes to give up on
 * one silent name server by default (resolv.conf(5): 2 times 5 s).
 */
const ASK_AGAIN_MS = 10_000;

/** Look-ups under way, by name: at most one entry for each provider. */
const underWay = new Map<string, LookUp>();

/**
 * Looks up a name for all that ask for it meanwhile, with one look-up. For `net.connect`.
 *
 * Each getaddrinfo holds one of four threads of the whole process for as long as a resolver is silent, 10 s by default:
 * a look-up per connection let eight requests to one provider whose name nobody answered for keep every other provider
 * from being connected to for 20 s and more (test/faults/silent-resolver.test.ts). Nothing is kept: a name that moves
 * is followed by the next look-up. Not covered: more than four look-ups, of all workers together, without an answer;
 * UV_THREADPOOL_SIZE moves that bound (deploy/ sets 16).
 */
export function lookUpTogether(name: string, options: LookupOptions, found: Found): void {
  const others = underWay.get(name);
  const nowMs = performance.now();
  if (others !== undefined && nowMs - others.beganMs < ASK_AGAIN_MS) {
    others.waiting.push(found);
    return;
  }
  const mine: LookUp = { beganMs: nowMs, waiting: [found] };
  underWay.set(name, mine);
  // By the module's own property: a preloaded hook may have replaced it.
  dns.lookup(name, { ...options, all: true }, (error, addresses) => {
    if (underWay.get(name) === mine) underWay.delete(name);
    for (const told of mine.waiting) told(error, addresses);
  });
}

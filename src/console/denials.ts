/** Who is cut off: looked up where the workers do, and changed in the bucket that all gateways follow. */

import type { z } from 'zod';
import { configFromDocument } from '../config/config-document.ts';
import { NO_BUCKET, reasonOf } from '../deny/deny-bucket.ts';
import { type DenySource, denySource } from '../deny/deny-source.ts';
import { type DeniedKind, DenyLookup } from '../deny/deny-table.ts';
import { allow, deny, openDenySet } from '../deny/deny-write.ts';
import { idWords } from '../keys/virtual-key.ts';
import type { GatewayView } from './gateway-view.ts';
import { Problem } from './problem.ts';
import type { DENIAL } from './shapes.ts';

type Denial = z.output<typeof DENIAL>;

export class Denials {
  readonly #view: GatewayView;
  readonly #lookup: DenyLookup;

  constructor(view: GatewayView) {
    this.#view = view;
    this.#lookup = new DenyLookup(view.memory.deny);
  }

  /**
   * Whether an id is cut off on this node, and by which of the two reasons that callers are told; when it ends by itself is the
   * bucket's to know.
   */
  of(kind: DeniedKind, id: string): Denial | null {
    const { low, high } = idWords(BigInt(id));
    const reason = this.#lookup.find(kind, low, high);
    return reason === null
      ? null
      : { reason: reason === 'spend' ? 'spend' : 'denied', until: null };
  }

  /** @param seconds 0 = it does not end by itself. @throws Problem that says why not */
  async deny(kind: DeniedKind, id: string, reason: string, seconds: number): Promise<Denial> {
    const source = this.#source();
    const untilMs = this.#view.now() + seconds * 1_000;
    await this.#changing(async () => {
      const bucket = await openDenySet(source, true);
      await deny(bucket, kind, BigInt(id), reason, seconds).finally(() => bucket.close());
    });
    return { reason, until: seconds === 0 ? null : new Date(untilMs).toISOString() };
  }

  /** @throws Problem that says why not */
  async allow(kind: DeniedKind, id: string): Promise<void> {
    const source = this.#source();
    await this.#changing(async () => {
      const bucket = await openDenySet(source, false);
      try {
        await allow(bucket, kind, BigInt(id));
      } catch (error) {
        // Nobody was ever cut off.
        if (reasonOf(error) !== NO_BUCKET) throw error;
      } finally {
        await bucket.close();
      }
    });
  }

  #source(): DenySource {
    const source = denySource(configFromDocument(this.#view.running()));
    if (source !== null) return source;
    throw new Problem(
      'conflict',
      'There is no NATS to tell: set nats_url in the configuration. A key can be ended without one.',
    );
  }

  async #changing(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const detail = error instanceof Error ? error.message : 'unknown';
      throw new Problem('unavailable', detail, { retryAfter: 1 });
    }
  }
}

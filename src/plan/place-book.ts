/** Where what is known of a target stands: its place in `Health`, its provider's, and those of its keys. */

import type { PoolKey, PoolKeys } from '../providers/pool-keys.ts';
import { textHash } from '../providers/text-hash.ts';
import type { Health } from './health.ts';
import type { Target } from './route-table.ts';

/** A pool key and where its rests stand: those of one model (429), and those of the key as a whole (401, quota). */
export interface KeyPlaces {
  readonly key: PoolKey;
  readonly ofModel: number;
  readonly ofKey: number;
  /** Nothing is left of a limit: others first. */
  readonly spent: number;
}

/** What is kept of a target, looked up once. */
export interface TargetPlaces {
  /** Tells targets apart in pins. */
  readonly print: number;
  readonly target: number;
  readonly provider: number;
  readonly keys: readonly KeyPlaces[];
  /** Of a name that only callers know: what `Health.mark` said of its own places. */
  readonly marks: readonly (readonly [place: number, mark: number])[];
}

/** Names that callers spelled whose places are remembered: as many as have one. */
export const GUESTS_MAX = 1024;

/** The places of all targets, each looked up once: a request goes by numbers. */
export class PlaceBook {
  readonly #health: Health;
  readonly #poolKeys: PoolKeys;
  /** Of the targets that the configuration names. */
  readonly #known = new Map<string, TargetPlaces>();
  /** Of those that callers spelled, GUESTS_MAX of them: beyond it, all are forgotten and looked up again. */
  readonly #guests = new Map<string, TargetPlaces>();

  constructor(health: Health, poolKeys: PoolKeys) {
    this.#health = health;
    this.#poolKeys = poolKeys;
  }

  /** The configuration names it: its places are its own. */
  enter(target: Target): void {
    this.#known.set(target.name, this.#lookedUp(target));
  }

  /** One that callers spelled shares places with others, and loses them to these: it is looked up again then. */
  of(target: Target): TargetPlaces {
    const known = this.#known.get(target.name) ?? this.#guests.get(target.name);
    if (known !== undefined && this.#areIts(known)) return known;
    if (this.#guests.size >= GUESTS_MAX) this.#guests.clear();
    const places = this.#lookedUp(target, true);
    this.#guests.set(target.name, places);
    return places;
  }

  /** Of a provider, its targets apart. @param name of the provider table */
  ofProvider(name: string): number {
    return this.#health.place(`provider ${name}`);
  }

  /** Of a pool key as a whole, whatever the model. */
  ofKey(provider: string, key: PoolKey): number {
    return this.#health.place(keySubject(provider, key));
  }

  #areIts({ marks }: TargetPlaces): boolean {
    for (const [place, mark] of marks) if (this.#health.mark(place) !== mark) return false;
    return true;
  }

  #lookedUp({ name, provider, model }: Target, isGuest = false): TargetPlaces {
    const marks: (readonly [number, number])[] = [];
    const place = (subject: string) => {
      const at = this.#health.place(subject, isGuest);
      if (isGuest) marks.push([at, this.#health.mark(at)]);
      return at;
    };
    return {
      print: textHash(name),
      target: place(`target ${name}`),
      provider: this.ofProvider(provider.name),
      keys: this.#poolKeys.of(provider).map((key) => ({
        key,
        ofModel: place(`${keySubject(provider.name, key)} ${model}`),
        ofKey: this.ofKey(provider.name, key),
        spent: place(`spent ${provider.name} ${key.print} ${model}`),
      })),
      marks,
    };
  }
}

function keySubject(provider: string, key: PoolKey): string {
  return `key ${provider} ${key.print}`;
}

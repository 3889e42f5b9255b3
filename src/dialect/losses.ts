import type { MediaPart, Turn, Wish } from './conversation.ts';

/** Names told in `x-sluice-dropped`, each list: a field's value must not become a megabyte. */
const TOLD_MAX = 64;

/** What a translation could not carry, or changed; by the names that its caller used. */
export class Losses {
  readonly #dropped = new Set<string>();
  readonly #adjusted = new Set<string>();

  /** Not carried; the answer's odds change, its question does not. */
  drop(wish: Wish<unknown> | string): void {
    if (this.#dropped.size < TOLD_MAX)
      this.#dropped.add(typeof wish === 'string' ? wish : wish.field);
  }

  /** Carried as another value. */
  adjust({ field }: Wish<unknown>, value: number | string): void {
    if (this.#adjusted.size < TOLD_MAX) this.#adjusted.add(`${field}=${value}`);
  }

  /** For `x-sluice-dropped`: `seed`, `tools.web_search`. */
  get dropped(): readonly string[] {
    return [...this.#dropped];
  }

  /** For `x-sluice-adjusted`: `temperature=1`. */
  get adjusted(): readonly string[] {
    return [...this.#adjusted];
  }
}

/**
 * Why a request cannot be translated: thrown by readers and writers, from any depth, and caught where a translation begins
 * (`translate.ts`). Nothing is sent then.
 */
export class Refusal extends Error {
  /**
   * `untranslatable`: right on the caller's wire, and without a place on the other; leaving it out would change the
   * question. `malformed`: not the caller's wire at all.
   */
  readonly kind: 'untranslatable' | 'malformed';
  /** The caller's name for it: `n`, `messages[2].role`. */
  readonly field: string;

  constructor(kind: Refusal['kind'], field: string, why: string) {
    super(`${field}: ${why}`);
    this.kind = kind;
    this.field = field;
  }
}

export function untranslatable(field: string, why: string): Refusal {
  return new Refusal('untranslatable', field, why);
}

const NAMES: Readonly<Record<Turn['role'], string>> = {
  system: 'an instruction',
  user: "a user's turn",
  assistant: "an assistant's turn",
};

/** Content that a wire takes, but not from this side of a conversation: left out, the model would be asked something else. */
export function misplaced(part: MediaPart, role: Turn['role']): Refusal {
  const field = part.kind === 'audio' ? part.field : part.kind;
  return untranslatable(field, `${NAMES[role]} is text alone on its provider's wire`);
}

export function malformed(field: string, why: string): Refusal {
  return new Refusal('malformed', field, why);
}

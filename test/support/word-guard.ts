import type {
  Detector,
  Edit,
  Finding,
  Guard,
  GuardAction,
  Placeholders,
  RunKind,
} from '../../src/guard/guard.ts';
import type { GuardSet } from '../../src/guard/guard-session.ts';

/** Finds `<<` and letters and `>>`, of any length up to MARK_MAX: nobody's text has it by chance. */
const MARK = /<<([a-z]{1,24})>>/g;
const OPEN = /<(?:<(?:[a-z]{1,24}>?)?)?$/;

/** A detector that is easy to see through: what it finds is written so that an oracle finds the same. */
export class MarkDetector implements Detector {
  readonly name = 'mark';

  scan(
    text: string,
    _kind: RunKind,
    isEnd: boolean,
  ): { readonly findings: readonly Finding[]; readonly settledTo: number } {
    const findings = [...text.matchAll(MARK)].map(({ index, 0: found }) => ({
      from: index,
      to: index + found.length,
      what: 'mark',
    }));
    const settledTo = isEnd ? text.length : (OPEN.exec(text)?.index ?? text.length);
    return { findings, settledTo };
  }
}

/** What masks a mark: the value stands in the map, a number in the text. */
export class MarkPlaceholders implements Placeholders {
  readonly #values: string[] = [];

  saw(): void {}

  mask(_what: string, value: string): string {
    if (!this.#values.includes(value)) this.#values.push(value);
    return `[MARK_${this.#values.indexOf(value) + 1}]`;
  }

  get isEmpty(): boolean {
    return this.#values.length === 0;
  }

  restored(text: string, _kind: RunKind, isEnd: boolean) {
    const edits: Edit[] = [...text.matchAll(/\[MARK_([0-9]{1,4})\]/g)].flatMap(
      ({ index, 0: found, 1: number }) => {
        const value = this.#values[Number(number) - 1];
        return value === undefined ? [] : [{ from: index, to: index + found.length, text: value }];
      },
    );
    const open = /\[(?:M(?:A(?:R(?:K(?:_[0-9]{0,4})?)?)?)?)?$/.exec(text)?.index;
    return { edits, settledTo: isEnd ? text.length : (open ?? text.length) };
  }
}

export function markGuard(action: GuardAction, more: Partial<Guard> = {}): Guard {
  return {
    name: 'mark',
    action,
    phases: ['request', 'response'],
    onError: 'block',
    onUnscanned: action === 'flag' ? 'pass' : 'block',
    maxHoldMs: 500,
    detector: new MarkDetector(),
    judge: null,
    listener: null,
    ...more,
  };
}

export function guardSet(...guards: readonly Guard[]): GuardSet {
  return { guards, placeholders: () => new MarkPlaceholders() };
}

/** What the guard makes of a whole text that nothing parts. */
export function redactedMarks(text: string): string {
  return text.replaceAll(MARK, '[MARK]');
}

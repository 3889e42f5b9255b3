import type { TextWindow } from '../text-window.ts';
import { ALNUM, DIGIT, GROUP_GAP, traitsOf } from './characters.ts';

/** Groups of one number: a French one has five, a card of 19 digits five, an American one with its country four. */
const GROUPS = 8;
/** ISO/IEC 7812-1 and E.164 end at 19 and 15; one more says that it is too long. */
const DIGITS = 20;
/** Signs between two groups: `) ` and ` - ` are the longest in use. */
const GAP_UNITS = 3;
const SPACE = 0x20;
const UNDERSCORE = 0x5f;
const ZERO = 0x30;

/** Between two groups stands more than one sign. */
export const MIXED_GAP = 1;
/** Nothing follows that belongs to it. */
export const NO_GAP = 0;

/** Digits in groups from one place on: read once, and asked by everything that numbers can be. */
export class DigitGroups {
  count = 0;
  readonly starts = new Int32Array(GROUPS);
  readonly ends = new Int32Array(GROUPS);
  /** Digits up to the group's end, of all groups so far. */
  readonly totals = new Int32Array(GROUPS);
  /** What stands behind a group, in front of the next one: its sign, MIXED_GAP, or NO_GAP. */
  readonly gaps = new Int32Array(GROUPS);

  read(window: TextWindow, from: number): void {
    this.count = 0;
    let at = from;
    let total = 0;
    while (this.count < GROUPS && total < DIGITS) {
      const start = at;
      while ((traitsOf(window.at(at)) & DIGIT) !== 0 && total < DIGITS) {
        at++;
        total++;
      }
      const group = this.count++;
      this.starts[group] = start;
      this.ends[group] = at;
      this.totals[group] = total;
      const next = this.#nextGroup(window, at);
      this.gaps[group] =
        next === 0 ? NO_GAP : next - at === 1 ? plainGap(window.at(at)) : MIXED_GAP;
      if (next === 0) return;
      at = next;
    }
  }

  /** @returns how many digits the group has; 0 where there is no such group */
  size(group: number): number {
    if (group >= this.count) return 0;
    return (this.ends[group] ?? 0) - (this.starts[group] ?? 0);
  }

  /** @returns the digit at a place of a group, 0 to 9; -1 where there is none */
  digit(window: TextWindow, group: number, place: number): number {
    if (place >= this.size(group)) return -1;
    return window.at((this.starts[group] ?? 0) + place) - ZERO;
  }

  /** @returns whether nothing stands behind the group that would make it a part of a longer word */
  endsWord(window: TextWindow, group: number): boolean {
    const code = window.at(this.ends[group] ?? 0);
    return (traitsOf(code) & ALNUM) === 0 && code !== UNDERSCORE;
  }

  /** @returns where the next group begins; 0 where none follows */
  #nextGroup(window: TextWindow, from: number): number {
    let at = from;
    for (; at - from < GAP_UNITS; at++) {
      if ((traitsOf(window.at(at)) & GROUP_GAP) === 0) break;
    }
    if (at === from) return 0;
    return (traitsOf(window.at(at)) & DIGIT) === 0 ? 0 : at;
  }
}

/** A space that breaks no line is a space. */
function plainGap(code: number): number {
  return code >= 128 ? SPACE : code;
}

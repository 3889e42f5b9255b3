import type { TextWindow } from '../text-window.ts';
import { DIGIT, traitsOf } from './characters.ts';

const ZERO = 0x30;

/**
 * ISO/IEC 7812-1, annex B: every second digit, from the last but one, doubled and its digits added.
 * @param to behind the last digit; what is not a digit in between is passed over
 */
export function passesLuhn(window: TextWindow, from: number, to: number): boolean {
  let sum = 0;
  let doubles = false;
  for (let at = to - 1; at >= from; at--) {
    const code = window.at(at);
    if ((traitsOf(code) & DIGIT) === 0) continue;
    const digit = doubles ? 2 * (code - ZERO) : code - ZERO;
    sum += digit > 9 ? digit - 9 : digit;
    doubles = !doubles;
  }
  return sum % 10 === 0;
}

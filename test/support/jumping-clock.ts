/**
 * Preloaded into a gateway (`--import`): `Date` tells the time plus the milliseconds that stand in the file CLOCK_FILE, in
 * every thread. What is measured by `performance.now()` is left alone, as a jump of a machine's clock leaves it.
 */

import { readFileSync } from 'node:fs';

const file = process.env['CLOCK_FILE'] ?? '';
const realNow = Date.now.bind(Date);
const now = (): number => realNow() + Number(readFileSync(file, 'utf8'));
const RealDate = Date;

class JumpingDate extends RealDate {
  // Only what the house does: `new Date()` and `new Date(ms)`.
  constructor(value?: number | string) {
    super(value ?? now());
  }

  static override now(): number {
    return now();
  }
}

Object.assign(globalThis, { Date: JumpingDate });

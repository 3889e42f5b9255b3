import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endByLlhttp, readByLlhttp } from '../../support/llhttp.ts';
import { readByParser } from '../../support/response-reading.ts';
import {
  behind,
  cutAt,
  cuts,
  legalResponse,
  spoiledResponse,
} from '../../support/response-texts.ts';

/** `FUZZ_RUNS=1000000 npx vitest run test/unit/wire/response-parser-llhttp.test.ts` for a long look. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 3_000);
const method = fc.constantFrom('GET', 'GET', 'GET', 'HEAD');

describe('beside llhttp', () => {
  it('every legal response is read, and read as llhttp reads it', () => {
    fc.assert(
      fc.property(legalResponse, cuts, (text, fractions) => {
        const pieces = cutAt(text, fractions);
        const { status, reason, fields, content, isWhole, fault } = readByParser(
          pieces,
          'GET',
          true,
        );
        expect(fault).toBeNull();
        expect({ status, reason, fields, content, isWhole }).toEqual(
          readByLlhttp(pieces, 'GET', true),
        );
      }),
      { numRuns: RUNS },
    );
  });

  it('every message ends where llhttp ends it, whatever stands behind it', () => {
    let ended = 0;
    fc.assert(
      fc.property(legalResponse, behind, cuts, method, (text, more, fractions, asked) => {
        const pieces = cutAt(text + more, fractions);
        const all = Buffer.concat(pieces);
        const end = endByLlhttp(all, asked);
        const bytewise = Array.from(all, (_, at) => all.subarray(at, at + 1));
        const single = readByParser(bytewise, asked, false);
        expect(single.isWhole ? single.readBytes : null).toBe(end);
        if (end === null) return;
        ended++;
        const { isWhole, isClean, readBytes } = readByParser(pieces, asked, false);
        const upTo = places(pieces).find((place) => place >= end);
        // It ends within the read that brings its last byte, and is clean when that read brings no other.
        expect({ isWhole, isClean, readBytes }).toEqual({
          isWhole: true,
          isClean: upTo === end,
          readBytes: upTo,
        });
      }),
      { numRuns: RUNS },
    );
    expect(ended).toBeGreaterThan(RUNS / 3);
  });

  it('nothing is accepted that llhttp refuses, or reads as something else', () => {
    let accepted = 0;
    fc.assert(
      fc.property(spoiledResponse, cuts, method, (text, fractions, asked) => {
        const pieces = cutAt(text, fractions);
        const ours = readByParser(pieces, asked, true);
        if (!ours.isWhole) return;
        accepted++;
        const { status, reason, fields, content, isWhole } = ours;
        expect({ status, reason, fields, content, isWhole }).toEqual(
          readByLlhttp(pieces, asked, true),
        );
      }),
      { numRuns: RUNS * 3 },
    );
    // Else the comparison would compare nothing.
    expect(accepted).toBeGreaterThan(RUNS / 10);
  });
});

/** Where each piece ends within the whole. */
function places(pieces: readonly Buffer[]): readonly number[] {
  let at = 0;
  return pieces.map((piece) => {
    at += piece.length;
    return at;
  });
}

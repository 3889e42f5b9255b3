import { describe, expect, test } from 'vitest';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import { RequestGathering } from '../../../src/exchange/request-gathering.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { RequestScan } from '../../../src/wire/request-scan.ts';

const scanner = loadJsonScanner();

describe('what is gathered of a body in many pieces', () => {
  test.each([
    true,
    false,
  ])('leaves as it came, and holds no copy that was outgrown (option put in: %s)', (asks) => {
    const text = `{"messages":[{"role":"user","content":"${'x'.repeat(200_000)}"}],"stream":true,"model":"m"}`;
    const body = Buffer.from(text);
    const scan = RequestScan.open(scanner, asks, false);
    const gathering = new RequestGathering(scan, new KeptBudget(createKeptMemory(1), 0, 0), 0, -1);
    for (let at = 0; at < body.length; at += 5_000) {
      const lent = Buffer.from(body.subarray(at, at + 5_000));
      gathering.push(lent, at + 5_000 >= body.length);
      lent.fill(0);
    }
    const kept = gathering.bytes.buffer;
    const { content } = gathering.handOver(null, true);
    const sent = Buffer.concat(content.pieces).toString();
    const option = ',"stream_options":{"include_usage":true}';
    expect(sent.replace(option, '')).toBe(text);
    expect(sent.length).toBe(text.length + (asks ? option.length : 0));
    // What was put in is of a few bytes; everything else stands in the last copy.
    const held = content.pieces.filter(({ buffer }) => buffer !== kept);
    expect(held.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(100);
    scan.release();
  });
});

import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FactSpill } from '../../../src/outlet/fact-spill.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-spill-'));

describe('FactSpill', () => {
  it("appends to what is there, for the operator's eyes only", () => {
    const path = join(folder, 'facts.ndjson');
    const first = new FactSpill(path);
    first.append(Buffer.from('a\n'));
    first.append(Buffer.from('ä\n'));
    first.close();
    const second = new FactSpill(path);
    second.append(Buffer.from('b\n'));
    second.close();
    expect(readFileSync(path, 'utf8')).toBe('a\nä\nb\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('has the bytes on the file when append returns', () => {
    const path = join(folder, 'at-once.ndjson');
    const spill = new FactSpill(path);
    spill.append(Buffer.from('a\n'));
    expect(readFileSync(path, 'utf8')).toBe('a\n');
    spill.close();
  });

  it('begins a line of its own behind what a crash has cut off', () => {
    const path = join(folder, 'torn.ndjson');
    writeFileSync(path, '{"a":1}\n{"b":');
    const spill = new FactSpill(path);
    spill.append(Buffer.from('{"c":2}\n'));
    spill.close();
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n{"b":\n{"c":2}\n');
  });

  it('throws where it cannot write, before the first fact and at a full disk', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => new FactSpill(join(folder, 'file', 'below'))).toThrow(/ENOTDIR/);
    const full = new FactSpill('/dev/full');
    expect(() => full.append(Buffer.from('a\n'))).toThrow(/ENOSPC/);
  });
});

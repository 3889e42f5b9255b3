import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FactSpill, SPILL_QUEUE_MAX_BYTES } from '../../../src/outlet/fact-spill.ts';
import { until } from '../../support/conditions.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-spill-'));
const CLOSE_MS = 5_000;

/** A disk that hangs: what is written to it waits once its 64 KiB are full, until somebody reads. */
function hangingFile(name: string): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

/** What is in a pipe now. */
function drain(reader: number): string {
  const piece = Buffer.alloc(65_536);
  let text = '';
  for (;;) {
    try {
      const bytes = readSync(reader, piece);
      if (bytes === 0) return text;
      text += piece.toString('utf8', 0, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return text;
      throw error;
    }
  }
}

describe('FactSpill', () => {
  it("appends to what is there, for the operator's eyes only", async () => {
    const path = join(folder, 'facts.ndjson');
    const first = new FactSpill(path);
    first.append(Buffer.from('a\n'));
    first.append(Buffer.from('ä\n'));
    expect(await first.close(CLOSE_MS)).toBe(0);
    const second = new FactSpill(path);
    second.append(Buffer.from('b\n'));
    expect(await second.close(CLOSE_MS)).toBe(0);
    expect([first.written, second.written]).toEqual([2, 1]);
    expect(readFileSync(path, 'utf8')).toBe('a\nä\nb\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('begins a line of its own behind what a crash has cut off', async () => {
    const path = join(folder, 'torn.ndjson');
    writeFileSync(path, '{"a":1}\n{"b":');
    const spill = new FactSpill(path);
    spill.append(Buffer.from('{"c":2}\n'));
    await spill.close(CLOSE_MS);
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n{"b":\n{"c":2}\n');
  });

  it('begins at the front again when whoever loads the file has emptied it', async () => {
    const path = join(folder, 'loaded.ndjson');
    const spill = new FactSpill(path);
    spill.append(Buffer.from('a\n'));
    await until('the first', () => spill.written === 1);
    truncateSync(path);
    spill.append(Buffer.from('b\n'));
    await spill.close(CLOSE_MS);
    expect(readFileSync(path, 'utf8')).toBe('b\n');
  });

  it('throws at the start where it cannot be opened', () => {
    writeFileSync(join(folder, 'file'), '');
    expect(() => new FactSpill(join(folder, 'file', 'below'))).toThrow(/ENOTDIR/);
  });

  it('keeps what a full disk refuses, says so once, and tells at its end how much is nowhere', async () => {
    const spill = new FactSpill('/dev/full');
    const told: (string | null)[] = [];
    spill.onChange = (error) => told.push((error as NodeJS.ErrnoException | null)?.code ?? null);
    spill.append(Buffer.from('a\nb\n'));
    await until('the refusal', () => told.length > 0);
    spill.append(Buffer.from('c\n'));
    expect([spill.waitingBytes, spill.isBusy]).toEqual([6, false]);
    expect(await spill.close(CLOSE_MS)).toBe(3);
    expect([told, spill.written]).toEqual([['ENOSPC'], 0]);
    expect(spill.append(Buffer.from('d\n'))).toBe(false);
  });

  it('waits for a disk that hangs without stopping anybody, and then has every line in order', async () => {
    const path = hangingFile('slow');
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const spill = new FactSpill(path);
    const lines = Array.from(
      { length: 4_000 },
      (_, n) => `{"fact":${n},"text":"${'x'.repeat(99)}"}\n`,
    );
    for (const line of lines) spill.append(Buffer.from(line));
    await until('the disk to hang', () => spill.isBusy && spill.written < lines.length);
    expect(spill.waitingBytes).toBeGreaterThan(0);
    let read = '';
    await until('all of it', () => {
      read += drain(reader);
      return spill.written === lines.length && read.length === lines.join('').length;
    });
    expect(read).toBe(lines.join(''));
    expect(await spill.close(CLOSE_MS)).toBe(0);
    closeSync(reader);
  });

  it('takes no more than its bound while the disk hangs, and gives up at the end', async () => {
    const path = hangingFile('hangs');
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const spill = new FactSpill(path);
    const line = Buffer.from(`${'x'.repeat(1_048_575)}\n`);
    const taken = Array.from({ length: 80 }, () => spill.append(line)).filter(Boolean).length;
    expect(taken).toBe(SPILL_QUEUE_MAX_BYTES / line.length);
    expect(await spill.close(200)).toBe(taken);
    expect(spill.isBusy).toBe(true);
    // For this process to end, too.
    await until('the end of the system call', () => {
      drain(reader);
      return !spill.isBusy;
    });
    closeSync(reader);
  });
});

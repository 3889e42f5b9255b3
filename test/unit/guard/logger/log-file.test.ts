import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LogFile } from '../../../../src/guard/logger/log-file.ts';

const DAY_MS = 86_400_000;
const NOON = Date.UTC(2026, 10, 29, 12);

function scene(maxBytes: number, retentionDays = 7) {
  const folder = join(mkdtempSync(join(tmpdir(), 'sluice-exchange-log-')), 'log');
  const path = join(folder, 'said.ndjson');
  let nowMs = NOON;
  const file = new LogFile({ guard: 'said', path, maxBytes, retentionDays }, () => nowMs);
  return {
    folder,
    path,
    file,
    append: (text: string) => file.append(Buffer.from(`${text}\n`)),
    at: (ms: number) => {
      nowMs = ms;
    },
    names: () => readdirSync(folder).sort(),
  };
}

describe('LogFile', () => {
  it("appends lines, for the operator's eyes only", () => {
    const { path, folder, append } = scene(1_000);
    expect([append('a'), append('ä')]).toEqual([true, true]);
    expect(readFileSync(path, 'utf8')).toBe('a\nä\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('puts a file aside when the next line has no room in it, and loses none', () => {
    const { append, folder, names } = scene(10);
    for (const text of ['1234', '5678', 'abcd', 'a line that is longer than a file', 'z'])
      append(text);
    expect(names()).toEqual([
      'said-20261129T120000Z-2.ndjson',
      'said-20261129T120000Z-3.ndjson',
      'said-20261129T120000Z.ndjson',
      'said.ndjson',
    ]);
    const all = names().map((name) => readFileSync(join(folder, name), 'utf8'));
    expect(all.join('').split('\n').filter(Boolean).sort()).toEqual([
      '1234',
      '5678',
      'a line that is longer than a file',
      'abcd',
      'z',
    ]);
  });

  it('puts a file aside when its day is over', () => {
    const { append, at, names, path } = scene(1_000);
    append('yesterday');
    at(NOON + DAY_MS);
    append('today');
    expect(names()).toEqual(['said-20261130T120000Z.ndjson', 'said.ndjson']);
    expect(readFileSync(path, 'utf8')).toBe('today\n');
  });

  it('takes away what was put aside too long ago, and nothing else', () => {
    const { append, at, file, folder, names } = scene(10, 2);
    append('123456789');
    append('a');
    writeFileSync(join(folder, 'said-notes.ndjson'), 'mine');
    writeFileSync(join(folder, 'other-20200101T000000Z.ndjson'), 'mine');
    at(NOON + 2 * DAY_MS);
    file.clean();
    expect(names()).toContain('said-20261129T120000Z.ndjson');
    at(NOON + 2 * DAY_MS + 1_000);
    file.clean();
    expect(names()).toEqual(['other-20200101T000000Z.ndjson', 'said-notes.ndjson', 'said.ndjson']);
  });

  it('says why nothing can be written, drops what comes, and writes again when it can', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-exchange-log-'));
    const blocker = join(folder, 'log');
    writeFileSync(blocker, 'a file where the folder is to be');
    let nowMs = NOON;
    const sink = {
      guard: 'said',
      path: join(blocker, 'said.ndjson'),
      maxBytes: 99,
      retentionDays: 7,
    };
    const file = new LogFile(sink, () => nowMs);
    expect(file.append(Buffer.from('a\n'))).toBe(false);
    expect(file.failure).toMatch(/^(?:EEXIST|ENOTDIR)$/);
    execFileSync('rm', [blocker]);
    // Not each line asks a disk that refuses.
    expect(file.append(Buffer.from('b\n'))).toBe(false);
    nowMs += 1_000;
    expect(file.append(Buffer.from('c\n'))).toBe(true);
    expect(file.failure).toBeNull();
    expect(readFileSync(sink.path, 'utf8')).toBe('c\n');
  });
});

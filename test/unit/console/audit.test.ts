import { appendFileSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  AUDIT_FILE_MAX_BYTES,
  AUDIT_FILES_MAX,
  AUDIT_LINE_MAX_BYTES,
  AUDIT_MEMORY_MAX,
  Audit,
} from '../../../src/console/audit.ts';
import { AUDIT_PAGE } from '../../../src/console/shapes.ts';

const SAID = {
  author: 'alice',
  role: 'owner',
  operation: 'putRoute',
  place: '/routes/chat',
  reason: '',
  status: 200,
  before: null,
  after: null,
};

const folder = () => mkdtempSync(join(tmpdir(), 'sluice-audit-'));

function scene(dataDir: string | null) {
  const events: string[] = [];
  const log = { write: (_: string, event: string) => void events.push(event) };
  return { audit: new Audit(dataDir, log), events };
}

describe('the audit', () => {
  test('is read back page by page, the youngest first, and goes on behind a restart', () => {
    const dataDir = folder();
    for (let at = 0; at < 5; at++) scene(dataDir).audit.write({ ...SAID, reason: `change ${at}` });
    const { audit } = scene(dataDir);
    const first = audit.page(null, 2);
    const second = audit.page(first.next, 2);
    const last = audit.page(second.next, 2);
    const all = [...first.rows, ...second.rows, ...last.rows].map(({ reason }) => reason);
    expect(all).toEqual([4, 3, 2, 1, 0].map((at) => `change ${at}`));
    expect(last.next).toBeNull();
    expect(AUDIT_PAGE.parse(first)).toEqual(first);
  });

  test('keeps the page that somebody reads in its place while others write', () => {
    const { audit } = scene(folder());
    for (let at = 0; at < 4; at++) audit.write({ ...SAID, reason: String(at) });
    const { next } = audit.page(null, 2);
    audit.write({ ...SAID, reason: 'late' });
    expect(audit.page(next, 2).rows.map(({ reason }) => reason)).toEqual(['1', '0']);
  });

  test('takes a bounded place on the disk, and forgets the oldest first', () => {
    const dataDir = folder();
    const { audit } = scene(dataDir);
    const large = 'x'.repeat(AUDIT_LINE_MAX_BYTES - 1_024);
    const lines = Math.ceil(((AUDIT_FILES_MAX + 2) * AUDIT_FILE_MAX_BYTES) / AUDIT_LINE_MAX_BYTES);
    for (let at = 0; at < lines; at++) audit.write({ ...SAID, reason: String(at), after: large });
    const files = readdirSync(dataDir);
    expect(files).toHaveLength(AUDIT_FILES_MAX + 1);
    for (const file of files)
      expect(statSync(join(dataDir, file)).size).toBeLessThanOrEqual(AUDIT_FILE_MAX_BYTES);
    const rows = audit.page(null, lines).rows.map(({ reason }) => Number(reason));
    expect(rows[0]).toBe(lines - 1);
    expect(rows.at(-1)).toBeGreaterThan(0);
    // One behind the other, none lost between two files.
    expect(rows).toEqual(rows.map((_, at) => lines - 1 - at));
  });

  test('loses no change to whoever is refused, or signs in, over and over', () => {
    for (const dataDir of [folder(), null]) {
      let { audit } = scene(dataDir);
      audit.write(SAID);
      const place = `/routes/${'x'.repeat(16_000)}`;
      for (let at = 0; at < (AUDIT_FILES_MAX + 2) * 1_000; at++) {
        audit.write({ ...SAID, role: 'viewer', place, reason: 'x'.repeat(3_000), status: 403 });
        audit.write({ ...SAID, operation: at % 2 === 0 ? 'signIn' : 'signOut', status: 204 });
        // A restart forgets nothing of what there is already.
        if (at % 2_000 === 1_999 && dataDir !== null) ({ audit } = scene(dataDir));
      }
      audit.write({ ...SAID, reason: 'last' });
      const changes: string[] = [];
      for (
        let before: string | null = null, first = true;
        first || before !== null;
        first = false
      ) {
        const page = audit.page(before, 1_000);
        for (const { status, reason } of page.rows) if (status === 200) changes.push(reason);
        before = page.next;
      }
      expect(changes).toEqual(['last', '']);
    }
  });

  test('leaves out what was and is where a line would be too long', () => {
    const dataDir = folder();
    const { audit } = scene(dataDir);
    audit.write({ ...SAID, before: 'b'.repeat(AUDIT_LINE_MAX_BYTES), after: 'a' });
    expect(audit.page(null, 1).rows[0]).toMatchObject({
      author: 'alice',
      before: null,
      after: null,
    });
  });

  test('loses no line to one that a crash has cut', () => {
    const dataDir = folder();
    scene(dataDir).audit.write({ ...SAID, reason: 'whole' });
    appendFileSync(join(dataDir, 'admin-audit.jsonl'), '{"n":2,"author":"bo');
    const { audit } = scene(dataDir);
    audit.write({ ...SAID, reason: 'next' });
    expect(audit.page(null, 9).rows.map(({ reason }) => reason)).toEqual(['next', 'whole']);
  });

  test('that the disk does not take is in the log all the same, with one word that it is not kept', () => {
    const dataDir = join(folder(), 'file');
    appendFileSync(dataDir, '');
    const { audit, events } = scene(dataDir);
    audit.write(SAID);
    audit.write(SAID);
    expect(events.filter((event) => event === 'admin_audit')).toHaveLength(2);
    expect(events.filter((event) => event === 'admin_audit_unkept')).toHaveLength(1);
    expect(readFileSync(dataDir, 'utf8')).toBe('');
  });

  test('without a folder is kept as long as the thread lives, and bounded', () => {
    const { audit } = scene(null);
    for (let at = 0; at <= AUDIT_MEMORY_MAX; at++) audit.write({ ...SAID, reason: String(at) });
    const { rows } = audit.page(null, AUDIT_MEMORY_MAX + 10);
    expect(rows).toHaveLength(AUDIT_MEMORY_MAX);
    expect(rows.at(-1)?.reason).toBe('1');
  });
});

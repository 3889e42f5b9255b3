/**
 * The tables of the ledger's files. A day's file (`2026-11-28.db`) has the facts of one UTC day and their sums, written in
 * one transaction; `kept.db` has the sums of days whose files are gone.
 */

import { DIMENSIONS } from './fact-kind.ts';
import type { SqlFile } from './sqlite.ts';

/** Raised with every change of a table; what an older version wrote is brought up by a step below. */
export const SCHEMA_VERSION = 1;

/** "slui", so that no other file of SQLite's is taken for one of ours. */
const APPLICATION_ID = 0x736c7569;

/** Of each group and time: what its facts add up to. Money in pico-dollars. */
export const SUMS = [
  'facts',
  'requests',
  'input',
  'output',
  'cache_read',
  'cache_write',
  'reasoning',
  'duration_ms',
  'cost',
  'unpriced',
  'estimated',
] as const;

/** A quarter of an hour in seconds: offsets of time zones are whole ones of these (Kathmandu has 5:45). */
export const QUARTER_SECS = 900;
export const QUARTERS_A_DAY = 96;

const SUM_COLUMNS = SUMS.map((name) => `${name} INTEGER NOT NULL`).join(', ');
const GROUPS = `CREATE TABLE groups (id INTEGER PRIMARY KEY, ${DIMENSIONS.map((name) => `${name} TEXT NOT NULL`).join(', ')},
  UNIQUE (${DIMENSIONS.join(', ')}))`;

/**
 * `rollup_quarter` and `rollup_day` say who used what; `total_quarter` how much that was, for days in any time zone.
 * Quarters and days are counted from 1970 on, in UTC.
 */
const DAY_TABLES = `
CREATE TABLE about (id TEXT NOT NULL);
INSERT INTO about VALUES (lower(hex(randomblob(8))));
${GROUPS};
CREATE TABLE origins (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE kinds (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, grp INTEGER NOT NULL, template TEXT NOT NULL);
CREATE TABLE facts (seq INTEGER PRIMARY KEY, origin INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, kind INTEGER NOT NULL, cost INTEGER, input INTEGER NOT NULL, output INTEGER NOT NULL,
  cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, reasoning INTEGER NOT NULL, parts BLOB NOT NULL,
  UNIQUE (origin, number, attempt));
CREATE TABLE rollup_quarter (quarter INTEGER NOT NULL, grp INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (quarter, grp)) WITHOUT ROWID;
CREATE TABLE rollup_day (day INTEGER NOT NULL, grp INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (day, grp)) WITHOUT ROWID;
CREATE TABLE total_quarter (quarter INTEGER PRIMARY KEY, ${SUM_COLUMNS});
CREATE TABLE outbox (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE VIEW usage AS SELECT facts.seq, origins.text AS origin, number, attempt, at_ms, ${DIMENSIONS.map((name) => `groups.${name}`).join(', ')},
  cost, input, output, cache_read, cache_write, reasoning
  FROM facts JOIN origins ON origins.id = facts.origin JOIN kinds ON kinds.id = facts.kind JOIN groups ON groups.id = kinds.grp;
`;

/** `file` is the day whose file the sums were in: they count when that file is in `folded`, and not before. */
const KEPT_TABLES = `
${GROUPS};
CREATE TABLE folded (file INTEGER PRIMARY KEY);
CREATE TABLE folding (file INTEGER PRIMARY KEY);
CREATE TABLE rollup_quarter (quarter INTEGER NOT NULL, grp INTEGER NOT NULL, file INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (quarter, grp, file)) WITHOUT ROWID;
CREATE TABLE rollup_day (day INTEGER NOT NULL, grp INTEGER NOT NULL, file INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (day, grp, file)) WITHOUT ROWID;
CREATE TABLE total_quarter (quarter INTEGER NOT NULL, file INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (quarter, file)) WITHOUT ROWID;
`;

/** What brings a file from a version to the next one, by the version that it has. */
const STEPS: Readonly<Record<number, string>> = {};

/** A file that this version must not touch; its message is one line that says what to do. */
export class LedgerRefused extends Error {}

/**
 * Makes the tables of a new file, or brings those of an older version up to this one.
 * @throws LedgerRefused where a newer Sluice wrote it, or somebody else did
 */
export function bringUp(file: SqlFile, path: string, kind: 'day' | 'kept'): void {
  const version = pragma(file, 'user_version');
  if (version === SCHEMA_VERSION && pragma(file, 'application_id') === APPLICATION_ID) return;
  if (version === 0) {
    const found = file.prepare('SELECT count(*) AS n FROM sqlite_schema').first();
    if (found !== null && Number(found['n']) > 0)
      throw new LedgerRefused(
        `${path} is no ledger of Sluice's. Move it away, or set data_dir to another folder.`,
      );
    // WAL: whoever reads waits for nobody, and a transaction is one write without a sync (synchronous below).
    file.exec('PRAGMA journal_mode = WAL');
    file.transaction(() => {
      file.exec(kind === 'day' ? DAY_TABLES : KEPT_TABLES);
      file.exec(
        `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`,
      );
    });
    return;
  }
  checkVersion(file, path);
  for (let at = version; at < SCHEMA_VERSION; at++) {
    file.transaction(() => file.exec(`${STEPS[at]}; PRAGMA user_version = ${at + 1}`));
  }
}

/**
 * For whoever only reads.
 * @throws LedgerRefused as above
 */
export function checkVersion(file: SqlFile, path: string): void {
  const version = pragma(file, 'user_version');
  if (pragma(file, 'application_id') !== APPLICATION_ID)
    throw new LedgerRefused(
      `${path} is no ledger of Sluice's. Move it away, or set data_dir to another folder.`,
    );
  if (version > SCHEMA_VERSION)
    throw new LedgerRefused(
      `${path} was written by a newer Sluice (its schema is ${version}, this one knows ${SCHEMA_VERSION}). Run that version, or move the folder away: a new ledger begins.`,
    );
}

function pragma(file: SqlFile, name: 'user_version' | 'application_id'): number {
  return Number(file.prepare(`PRAGMA ${name}`).first()?.[name] ?? 0);
}

/**
 * The tables of the ledger's files. A day's file (`2026-11-28.db`) has the facts of one UTC day and their sums, written in
 * one transaction; `kept.db` has the sums of days whose files are gone.
 */

import { DIMENSIONS, type Dimension } from './fact-kind.ts';
import type { SqlFile } from './sqlite.ts';

/** Raised with every change of a table; what an older version wrote is brought up by a step below. */
export const SCHEMA_VERSION = 2;

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
export const QUARTERS_AN_HOUR = 4;
export const QUARTERS_A_DAY = 96;

/**
 * By what `sluice usage` is asked: of hours and days that are over there are sums for each of these, so that a month of ten
 * million facts is told from a few thousand rows. The place in this list is what the files say: new ones go behind.
 */
export const VIEWS: readonly (readonly Dimension[])[] = [
  DIMENSIONS,
  ['tenant', 'key', 'class'],
  ['tenant'],
  ['class'],
  ['provider', 'model'],
  ['provider'],
  ['route'],
  ['provider', 'status'],
];

/** The place of the view that tells everything apart. */
export const WHOLE_VIEW = 0;

const SUM_COLUMNS = SUMS.map((name) => `${name} INTEGER NOT NULL`).join(', ');
const GROUPS = `CREATE TABLE groups (id INTEGER PRIMARY KEY, ${DIMENSIONS.map((name) => `${name} TEXT NOT NULL`).join(', ')},
  UNIQUE (${DIMENSIONS.join(', ')}))`;

/**
 * Of spans of quarters (4: an hour, 96: a day) from a quarter on, by a view: `grp` is any of the groups that the view does
 * not tell apart. They count where `closed` has the span, and are worked out of `rollup_quarter` at any time.
 */
const DAY_SUMS = `
CREATE TABLE sums (view INTEGER NOT NULL, span INTEGER NOT NULL, quarter INTEGER NOT NULL, grp INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (view, span, quarter, grp)) WITHOUT ROWID;
CREATE TABLE closed (span INTEGER NOT NULL, quarter INTEGER NOT NULL, PRIMARY KEY (span, quarter)) WITHOUT ROWID;
`;

/**
 * `rollup_quarter` says who used what, `total_quarter` how much that was, for days in any time zone. Quarters are counted
 * from 1970 on, in UTC.
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
CREATE TABLE total_quarter (quarter INTEGER PRIMARY KEY, ${SUM_COLUMNS});
CREATE TABLE outbox (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE VIEW usage AS SELECT facts.seq, origins.text AS origin, number, attempt, at_ms, ${DIMENSIONS.map((name) => `groups.${name}`).join(', ')},
  cost, input, output, cache_read, cache_write, reasoning
  FROM facts JOIN origins ON origins.id = facts.origin JOIN kinds ON kinds.id = facts.kind JOIN groups ON groups.id = kinds.grp;
${DAY_SUMS}`;

/** Of days: all that are kept are over. */
const KEPT_SUMS = `
CREATE TABLE sums (view INTEGER NOT NULL, span INTEGER NOT NULL, quarter INTEGER NOT NULL, grp INTEGER NOT NULL, file INTEGER NOT NULL,
  ${SUM_COLUMNS}, PRIMARY KEY (view, span, quarter, grp, file)) WITHOUT ROWID;
`;

/** `file` is the day whose file the sums were in: they count when that file is in `folded`, and not before. */
const KEPT_TABLES = `
${GROUPS};
CREATE TABLE folded (file INTEGER PRIMARY KEY);
CREATE TABLE folding (file INTEGER PRIMARY KEY);
CREATE TABLE rollup_quarter (quarter INTEGER NOT NULL, grp INTEGER NOT NULL, file INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (quarter, grp, file)) WITHOUT ROWID;
CREATE TABLE total_quarter (quarter INTEGER NOT NULL, file INTEGER NOT NULL, ${SUM_COLUMNS},
  PRIMARY KEY (quarter, file)) WITHOUT ROWID;
${KEPT_SUMS}`;

const SUMMED = SUMS.map((name) => `sum(${name})`).join(', ');

/** Version 1 had the sums of days by all dimensions alone, and wrote them with each fact. */
const KEPT_FROM_1 = `${KEPT_SUMS}
${VIEWS.map(
  (dimensions, view) =>
    `INSERT INTO sums SELECT ${view}, ${QUARTERS_A_DAY}, day * ${QUARTERS_A_DAY}, min(grp), file, ${SUMMED}
     FROM rollup_day JOIN groups ON groups.id = grp GROUP BY day, file, ${dimensions.join(', ')};`,
).join('\n')}
DROP TABLE rollup_day`;

/** What brings a file from a version to the next one, by the version that it has. */
const STEPS: Readonly<Record<'day' | 'kept', Readonly<Record<number, string>>>> = {
  day: { 1: `${DAY_SUMS} DROP TABLE rollup_day` },
  kept: { 1: KEPT_FROM_1 },
};

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
    file.transaction(() => file.exec(`${STEPS[kind][at]}; PRAGMA user_version = ${at + 1}`));
  }
}

/**
 * For whoever only reads.
 * @returns the version that it has
 * @throws LedgerRefused as above
 */
export function checkVersion(file: SqlFile, path: string): number {
  const version = pragma(file, 'user_version');
  if (pragma(file, 'application_id') !== APPLICATION_ID)
    throw new LedgerRefused(
      `${path} is no ledger of Sluice's. Move it away, or set data_dir to another folder.`,
    );
  if (version > SCHEMA_VERSION)
    throw new LedgerRefused(
      `${path} was written by a newer Sluice (its schema is ${version}, this one knows ${SCHEMA_VERSION}). Run that version, or move the folder away: a new ledger begins.`,
    );
  return version;
}

function pragma(file: SqlFile, name: 'user_version' | 'application_id'): number {
  return Number(file.prepare(`PRAGMA ${name}`).first()?.[name] ?? 0);
}

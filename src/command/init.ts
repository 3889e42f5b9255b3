import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadConfig } from '../config/config.ts';
import { authorityHere } from '../config/config-address.ts';
import { newAdminToken } from '../console/admin-token.ts';
import { newSecretKey, publicKeyOf } from '../keys/minting.ts';
import { noPositionals, writeSecret } from '../keys/signing-secret.ts';
import { createKey } from '../overlay/key-entries.ts';
import { adminTokenTable } from './admin-token.ts';
import { authorHere, overlaySourceOf } from './overlay-command.ts';

/** Text of `sluice init --help`. */
export const INIT_HELP = `sluice init [--mock]

Writes a first configuration into this folder, and prints a first virtual key, and a token for the dashboard:

  config.toml        a signing key, data_dir, a policy for each class of keys, limits, budgets, one route and who may use the
                     dashboard
  signing-1.secret   the secret half of the signing key: mints keys; only you may read it
  .env               where the providers' keys go; only you may read it

It refuses to overwrite any of them. Standard output gets the key and nothing else,
standard error the token and what to do.

  --mock   sends everything to "sluice mock" at 127.0.0.1:8081 in place of OpenAI and Anthropic`;

const KID = 1;
const CONFIG = 'config.toml';
const SECRET = `signing-${KID}.secret`;
const ENV = '.env';
const DATA = 'sluice-data';

/**
 * `sluice init`: stdout gets the first virtual key, stderr what to do with it.
 * @returns the exit code
 * @throws Error with one line that says what to do; nothing is written where one of the files exists
 */
export async function init(argv: readonly string[]): Promise<number> {
  const options = { mock: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
  noPositionals('init', positionals);
  const isMock = values.mock === true;
  const taken = [CONFIG, SECRET, ENV].filter((file) => existsSync(file));
  if (taken.length > 0)
    throw new Error(
      `${taken.join(' and ')} exist${taken.length === 1 ? 's' : ''} here already, and nothing was written. Go to an empty folder.`,
    );
  const adminToken = newAdminToken();
  const { id, token, metricsListen } = await undoing([CONFIG, SECRET, ENV, DATA], async () => {
    const secretKey = newSecretKey();
    writeSecret(SECRET, { kid: KID, secretKey });
    write(ENV, isMock ? MOCK_ENV : EMPTY_ENV, 0o600);
    const publicKey = Buffer.from(publicKeyOf(secretKey)).toString('base64');
    write(CONFIG, configText(publicKey, isMock, adminToken), 0o644);
    const { config } = loadConfig({ path: CONFIG, env: process.env, only: ['metrics_listen'] });
    const made = await createKey(overlaySourceOf(CONFIG), {
      name: 'first',
      tenantId: 1n,
      vpcId: 0n,
      keyClass: 'developer',
      policy: null,
      expiresMs: null,
      keyId: null,
      secretFile: SECRET,
      author: authorHere(),
      reason: 'sluice init',
    });
    return { ...made, metricsListen: config.metricsListen };
  });
  process.stdout.write(`${token}\n`);
  const shown = process.stdout.isTTY ? token : '$(cat the.key)';
  const first = isMock
    ? 'Start the mock:       ./sluice mock --quiet &'
    : `Put a provider's key into ${ENV}:  echo 'AI_POOL_KEY_OPENAI=sk-…' >> ${ENV}`;
  process.stderr.write(`
${CONFIG}, ${SECRET} and ${ENV} are written; the virtual key above has the id ${id}, and is shown this one time.

1. ${first}
2. Start the gateway:    ./sluice
3. Ask, in another terminal:
   curl http://localhost:8080/v1/chat/completions -H "authorization: Bearer ${shown}" \\
     -H 'content-type: application/json' -d '{"model":"chat","messages":[{"role":"user","content":"Hello"}]}'

The dashboard is at http://${authorityHere(metricsListen)}/ as soon as the gateway runs. Its token, which is shown this one time, too:
   ${adminToken}

More keys: ./sluice keys create --name ci --tenant 7 --class agent
`);
  return 0;
}

/** What was not there before is there when all of it went well, and else not. */
async function undoing<Result>(
  paths: readonly string[],
  work: () => Promise<Result>,
): Promise<Result> {
  const made = paths.filter((path) => !existsSync(path));
  try {
    return await work();
  } catch (error) {
    for (const path of made) rmSync(path, { recursive: true, force: true });
    throw error;
  }
}

function write(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode });
  } catch (error) {
    throw new Error(
      `Cannot write ${file} (${(error as NodeJS.ErrnoException).code}). Go to a folder that this user may write to.`,
    );
  }
}

const EMPTY_ENV = `# The providers' keys, which no caller ever sees. ./sluice reads this file when it starts.
# AI_POOL_KEY_OPENAI=sk-…
# AI_POOL_KEY_ANTHROPIC=sk-ant-…
`;

const MOCK_ENV = `# The mock takes any key.
AI_POOL_KEY_OPENAI=mock
AI_POOL_KEY_ANTHROPIC=mock
`;

const MOCK_AUTHORITIES = `
[provider_authorities]
openai = "http://127.0.0.1:8081"
anthropic = "http://127.0.0.1:8081"
`;

/** @param publicKey in base64. @param adminToken its hash is what is written */
function configText(publicKey: string, isMock: boolean, adminToken: string): string {
  return `# Written by "sluice init". Every key is explained in config.example.toml; "sluice check --effective" says what holds for whom.

# What has to outlive the gateway: keys made with "sluice keys", what was used and spent. From where the gateway is started.
data_dir = "${DATA}"
${isMock ? MOCK_AUTHORITIES : ''}
# Virtual keys are verified with this; ${SECRET} mints them.
[signing_keys]
${KID} = "${publicKey}"

# Callers say model = "chat". When a provider fails before its first word, the next one answers.
[routes.chat]
targets = ["openai/gpt-4o-mini"]
fallbacks = ["anthropic/claude-haiku-4-5"]

# What keys may do, by their class. Of each member the most specific policy that says something counts: [keys.ID], [tenants.ID],
# [classes], default.
[classes]
developer = "developers"
application = "applications"
agent = "agents"

[policies.default]
max_cost_per_request_usd = 1

[policies.developers]
rpm = 60
budget_usd_per_day = 10

[policies.applications]
rpm = 600
budget_usd_per_month = 500

[policies.agents]
rpm = 120
max_in_flight = 8
budget_usd_per_day = 20
models = ["chat", "openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"]

# All agents together: what runs wild leaves room for the others.
[limits.classes.agent]
max_in_flight = 64

# Who may use the dashboard and the admin API, at metrics_listen. "sluice admin-token NAME --role viewer" makes one for somebody else.
${adminTokenTable('owner', adminToken, 'owner', [])}`;
}

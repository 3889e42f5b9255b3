/**
 * `npm run demo`: what Sluice is for, on this machine, in half a minute: a mock provider, the gateway, and the stock SDKs
 * with nothing changed but their base URL and key. Each scene shows the line that did it. Ends by itself; `--keep` leaves
 * everything running until Ctrl-C, or until its terminal is closed, with a dashboard that has a made-up week to show. `--without-nats` shows what it shows where nats-server
 * is not installed.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { adminTokenTable } from '../../src/command/admin-token.ts';
import { newAdminToken } from '../../src/console/admin-token.ts';
import { startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { type LogLine, sluice, startGateway } from '../support/gateway.ts';
import { denyWriter, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { HISTORY_TABLES, writeHistory } from './history.ts';
import { Screen } from './screen.ts';

/** Between two tokens, in milliseconds, so that they can be seen coming. */
const PACE_MS = 40;
/** Requests at the end, to say what the gateway's own time is when it is warm. */
const WARM_REQUESTS = 500;

const keep = process.argv.includes('--keep');
const isWithNats = NATS_MISSING === null && !process.argv.includes('--without-nats');
const screen = new Screen();
const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: PACE_MS });
const nats = isWithNats ? await startNats() : null;
// The bucket is made as the first `sluice deny` of a company makes it.
if (nats !== null) await (await denyWriter(nats)).close();
const adminToken = newAdminToken();
if (keep) writeHistory(folder, Date.now());
const signingKeys = sluice(['keygen', '--kid', '1'], { cwd: folder }).stdout;
const base = `data_dir = "${folder}"
${nats === null ? '' : `nats_url = "${nats.url}"\n`}
[provider_authorities]
openai = "${mock.origin}"
anthropic = "${mock.origin}"

[pool_keys]
openai = "sk-the-real-one"
anthropic = "sk-ant-the-real-one"

${keep ? `${HISTORY_TABLES}${adminTokenTable('demo', adminToken, 'owner', [])}\n` : ''}`;
const gateway = await startGateway({
  config: base + signingKeys,
  // By this the dashboard says on each screen that what it shows is made up.
  env: keep ? { SLUICE_DEMO: '1' } : {},
});
const { origin } = gateway;
if (nats !== null) await gateway.waitForLog(({ event }) => event === 'deny_set_synced');

screen.print(`Sluice on this machine, nothing leaves it: the mock stands in for OpenAI and Anthropic.

     provider   ${mock.origin}   (npm run mock)
     gateway    ${origin}   (npm start)
     metrics    http://127.0.0.1:${gateway.metricsPort}/metrics
`);

screen.scene('The stock OpenAI SDK: one line changed, the base URL. The key is your own');
screen.code(`new OpenAI({ baseURL: '${origin}/v1', apiKey: 'sk-yours' })`);
await stream(new OpenAI({ baseURL: `${origin}/v1`, apiKey: 'sk-yours' }), 'Why stream an answer?');

screen.scene('The stock Anthropic SDK, through the same gateway');
screen.code(`new Anthropic({ baseURL: '${origin}', apiKey: 'sk-ant-yours' })`);
await message(new Anthropic({ baseURL: origin, apiKey: 'sk-ant-yours' }), 'What is a token?');

screen.scene('A virtual key for tenant 42: the real key stays in the gateway');
screen.shell(
  './sluice keygen --kid 1 >> config.toml',
  './sluice mint --secret signing-1.secret --tenant 42 --vpc 99',
);
const minting = ['mint', '--secret', 'signing-1.secret', '--tenant', '42', '--vpc', '99'];
const key = sluice(minting, { cwd: folder }).stdout.trim();
screen.print(`     ${key}\n`);
const tenant = new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0 });
screen.code(`new OpenAI({ baseURL: '${origin}/v1', apiKey: 'bai_v1…' })`);
await stream(tenant, 'Who pays for this answer?');
showFact(await until('the fact', () => gateway.events('ai.usage')[0]));

if (nats === null) await revokeScene();
else await denyScene(nats);

screen.scene('A provider that dies in the middle: your SDK raises, no cut answer looks complete');
screen.code(`openai.chat.completions.create({ model: 'fault-cut-12', stream: true, … })`);
const openai = new OpenAI({ baseURL: `${origin}/v1`, apiKey: 'sk-yours', maxRetries: 0 });
await raises(() => stream(openai, 'Tell me a story.', 'fault-cut-12'));

screen.scene('Who used what, and what it cost: the ledger, beside the running gateway');
await until('the ledger', async () => {
  const metrics = await gateway.metrics();
  return metrics.get('ai_ledger_facts_total') === gateway.count('ai.usage');
});
screen.shell('./sluice usage --by model --since 15m');
told(
  sluice(['usage', '--by', 'model', '--since', '15m'], {
    env: { AI_DATA_DIR: folder },
    cwd: folder,
  }),
);

screen.scene('What it costs');
await showCost();

if (keep) await staysUp();
gateway.signal('SIGTERM');
const { code } = await gateway.exited;
await nats?.kill();
await mock.close();
screen.print(
  `\nThe gateway has stopped, exit code ${code}. Next: README.md, "Point it at something".\n`,
);
process.exit(code ?? 1);

async function stream(client: OpenAI, content: string, model = 'gpt-5-mini'): Promise<void> {
  const asked = { model, messages: [{ role: 'user', content } as const] };
  screen.print(`   > ${content}\n`);
  const chat = await client.chat.completions.create({ ...asked, stream: true });
  try {
    for await (const chunk of chat) screen.piece(chunk.choices[0]?.delta.content ?? '');
  } finally {
    screen.end();
  }
}

async function message(client: Anthropic, content: string): Promise<void> {
  screen.print(`   > ${content}\n`);
  const asked = {
    model: 'claude-sonnet-5',
    max_tokens: 200,
    messages: [{ role: 'user', content } as const],
  };
  for await (const event of client.messages.stream(asked)) {
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
      screen.piece(event.delta.text);
  }
  screen.end();
}

function showFact(fact: LogLine): void {
  const sure =
    fact['usage_source'] === 'reported' ? "the provider's own count" : 'an estimate, flagged';
  screen.say(
    `The usage fact on the gateway's stdout, in words: tenant ${fact['tenant_id']} used ${fact['input_tokens']} tokens in and ${fact['output_tokens']} out of ${fact['model']} at ${fact['provider']}, ${sure}; first byte after ${fact['ttfb_ms']} ms, ${fact['outcome']} after ${fact['duration_ms']} ms. The request did not ask for usage: the gateway did.`,
  );
}

async function denyScene(server: NatsServer): Promise<void> {
  const env = { AI_NATS_URL: server.url };
  screen.scene('The tenant has spent its money: cut off on every gateway, without a restart');
  screen.shell('./sluice deny tenant 42 --reason spend');
  told(sluice(['deny', 'tenant', '42', '--reason', 'spend'], { env, cwd: folder }));
  await until('the deny', async () => (await standingOf(key)) === 402);
  await raises(() => stream(tenant, 'Hello'));
  screen.shell('./sluice allow tenant 42');
  told(sluice(['allow', 'tenant', '42'], { env, cwd: folder }));
  await until('the return', async () => (await standingOf(key)) === 200);
  await stream(tenant, 'Hello');
}

/** Without NATS there is still one way to cut somebody off: the kid that signed the key goes. */
async function revokeScene(): Promise<void> {
  screen.scene('The tenant is cut off: the kid that signed its key goes, without a restart');
  screen.say(
    'Cutting off a single tenant with a 402 takes NATS, and nats-server is not here: apt-get install nats-server (or brew), and run the demo again. Until then:',
  );
  screen.shell('./sluice keygen --kid 2      # in config.toml its line replaces that of kid 1');
  const next = sluice(['keygen', '--kid', '2'], { cwd: folder }).stdout;
  await gateway.reload(base + next);
  await until('the revocation', async () => (await standingOf(key)) === 401);
  await raises(() => stream(tenant, 'Hello'));
  await gateway.reload(base + signingKeys);
}

/** Shows what the SDK raises. */
async function raises(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const status = error.status === undefined ? '' : ` ${error.status}`;
    screen.say(`The SDK raised ${error.constructor.name}${status}: ${bare(error)}`);
    return;
  }
  throw new Error('The SDK raised nothing.');
}

/** Without the status that the SDK puts in front. */
function bare({ message: text }: Error): string {
  return text.replace(/^\d{3} /, '');
}

function told({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): void {
  for (const line of (stdout + stderr).trim().split('\n')) screen.print(`     ${line}\n`);
}

/** What a virtual key is told of itself: nothing that reaches a provider, and so no fact. */
async function standingOf(token: string): Promise<number> {
  return await statusOf(token, '/sluice/budget');
}

async function statusOf(token: string, path = '/v1/models'): Promise<number> {
  const response = await fetch(`${origin}${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await response.arrayBuffer();
  return response.status;
}

async function showCost(): Promise<void> {
  const own = async (): Promise<readonly [number, number]> => {
    const metrics = await gateway.idle();
    const total = metrics.get('ai_overhead_seconds_sum');
    return [total, metrics.get('ai_overhead_seconds_count')];
  };
  const before = await own();
  for (let left = WARM_REQUESTS; left > 0; left--) await statusOf('sk-yours');
  const after = await own();
  const microseconds = ((after[0] - before[0]) / (after[1] - before[1])) * 1e6;
  screen.say(
    `Before the request to the provider left, the gateway took ${microseconds.toFixed(0)} µs (mean of ${WARM_REQUESTS} more requests, one after the other). docs/costs.md has it measured beside nginx.`,
  );
}

async function staysUp(): Promise<void> {
  const keyFile = join(folder, 'the.key');
  writeFileSync(keyFile, key);
  screen.print(`
All of it is still running. Try, in another terminal:

  curl -N ${origin}/v1/chat/completions -H "authorization: Bearer $(cat ${keyFile})" \\
    -H 'content-type: application/json' \\
    -d '{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

"model":"fault-cut-3" cuts the stream after three events; ./sluice mock --help lists all faults.${
    nats === null ? '' : `\nAI_NATS_URL=${nats.url} ./sluice deny tenant 42 --reason spend`
  }

The dashboard, with a week in it that is made up:

  http://127.0.0.1:${gateway.metricsPort}/
  token  ${adminToken}

The gateway's facts and log lines follow. Stop with Ctrl-C.

`);
  let shown = gateway.logs.length;
  const timer = setInterval(() => {
    for (const line of gateway.logs.slice(shown)) screen.print(`${JSON.stringify(line)}\n`);
    shown = gateway.logs.length;
  }, 200);
  await Promise.race([
    gateway.exited,
    ...(['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map(
      (signal) => new Promise((resolve) => process.once(signal, resolve)),
    ),
  ]);
  clearInterval(timer);
}

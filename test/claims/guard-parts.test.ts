import { execFileSync } from 'node:child_process';
import { constants, existsSync, mkdtempSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { guardModule, replaceModule, requestHook } from '../support/guard-module.ts';
import { JudgingServer, json, presidioFinds } from '../support/judging-server.ts';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  startRoutedScene,
} from '../support/routed-scene.ts';

// An operator's modules, servers that judge, and the exchange log: all through a gateway, beside each other, as a provider and a
// caller see them.

const MAIL = 'ada.lovelace@analytical.org';
const PHONE = '+44 20 7946 0958';
const PROMPT = `Write to ${MAIL} or call ${PHONE}.`;

const folder = mkdtempSync(join(tmpdir(), 'sluice-guard-parts-'));
const said = join(folder, 'said.ndjson');
const stalled = join(folder, 'stalled.ndjson');
const changing = guardModule(
  `export default { name: 'changing', request: (text) => text.replaceAll('word', 'first') };`,
);
const hangs = requestHook("if (text.includes('poison')) for (;;); return undefined;");
const breaks = requestHook(
  "if (text.includes('poison')) { const all = []; for (;;) all.push(new Array(2 ** 27).fill(1)); }",
);

let analyzer: JudgingServer;
let moderator: JudgingServer;
let scene: RoutedScene;

/** Which key has which guards. */
const KEYS = [
  'redact',
  'changing',
  'hangs',
  'lax-hangs',
  'breaks',
  'presidio',
  'moderation',
  'log',
  'pii-log',
  'stalled',
];
const keyOf = (policy: string): string => token({ keyId: BigInt(KEYS.indexOf(policy) + 1) });

const CONFIG = (): string => `rate_limit_rps = 0
data_dir = ${JSON.stringify(join(folder, 'data'))}
${KEYS.map((name, at) => `[keys.${at + 1}]\npolicy = "${name}"\n[policies.${name}]\nguards = ${JSON.stringify(name === 'pii-log' ? ['pii', 'log'] : [name])}\n`).join('')}
[guards.redact]
module = ${JSON.stringify(resolve('deploy/guards/redact.ts'))}
budget_ms = 5000
[guards.changing]
module = ${JSON.stringify(changing)}
budget_ms = 5000
[guards.hangs]
module = ${JSON.stringify(hangs)}
budget_ms = 200
[guards.lax-hangs]
module = ${JSON.stringify(hangs)}
budget_ms = 200
on_error = "pass"
[guards.breaks]
module = ${JSON.stringify(breaks)}
budget_ms = 20000
[guards.presidio]
url = "${analyzer.url}/analyze"
[guards.moderation]
url = "${moderator.url}/v1/moderations"
api_key = "sk-of-the-moderator"
[guards.log]
kind = "logger"
path = ${JSON.stringify(said)}
[guards.stalled]
kind = "logger"
path = ${JSON.stringify(stalled)}
[routes.chat]
targets = ["openai/m"]
`;

/** Says back what it was sent, as one whole answer or in small pieces. */
const echo: Act = async (turn) => {
  await turn.bodyDone();
  const sent = JSON.parse(turn.request.body.toString()) as {
    readonly stream?: boolean;
    readonly messages: readonly { readonly content: string }[];
  };
  const text = sent.messages.at(-1)?.content ?? '';
  if (sent.stream !== true) {
    const message = { role: 'assistant', content: text };
    const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
    const body = {
      id: 'c',
      model: 'm',
      choices: [{ index: 0, message, finish_reason: 'stop' }],
      usage,
    };
    await answers(200, JSON.stringify(body))(turn);
    return;
  }
  await turn.stream(['content-type: text/event-stream']);
  await turn.chunk(EVENTS.chat.opening);
  for (let at = 0; at < text.length; at += 5)
    await turn.chunk(EVENTS.chat.word(text.slice(at, at + 5)));
  await turn.chunk(EVENTS.chat.end);
  await turn.lastChunk();
};

beforeAll(async () => {
  analyzer = await JudgingServer.start(() => {});
  moderator = await JudgingServer.start(() => {});
  execFileSync('mkfifo', [stalled]);
  openSync(stalled, constants.O_RDONLY | constants.O_NONBLOCK);
  scene = await startRoutedScene(['openai'], CONFIG(), {}, 2);
});
beforeEach(() => scene.plays({ openai: echo }));
afterAll(async () => {
  // What the pipe's writer waits for.
  execFileSync('sh', ['-c', `timeout 20 cat '${stalled}' > /dev/null & sleep 0.01`]);
  await scene.stop();
  analyzer.stop();
  moderator.stop();
});

async function ask(policy: string, content: string, stream = false) {
  const body = JSON.stringify({
    model: 'chat',
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
    messages: [{ role: 'user', content }],
  });
  const fields = { authorization: `Bearer ${keyOf(policy)}` };
  const answer = await scene.ask('chat', { body, fields });
  const read = [...answer.text.matchAll(/"content":("(?:[^"\\]|\\.)*")/g)]
    .map(([, part = '""']) => String(JSON.parse(part)))
    .join('');
  return { ...answer, read, sent: sent() };
}

/** The prompt as the provider had it; empty: it was not asked. */
function sent(): string {
  const body = scene.upstreams['openai']?.requests.at(-1)?.body.toString() ?? '';
  return body === '' ? '' : String(JSON.parse(body).messages.at(-1).content);
}

/** Asks until the guard says something again: it has been cut, and its next thread is on its way. */
async function askAgain(policy: string, content: string) {
  return await until('the guard says something again', async () => {
    scene.plays({ openai: echo });
    const answer = await ask(policy, content);
    return answer.status === 200 ? answer : null;
  });
}

describe("an operator's module", () => {
  test.each([false, true])('changes prompts and answers (streamed: %s)', async (stream) => {
    const { status, read, sent: had, facts } = await ask('redact', PROMPT, stream);
    expect(status).toBe(200);
    expect(had).toBe('Write to [email] or call [phone].');
    expect(read).toBe('Write to [email] or call [phone].');
    expect(facts[0]).toMatchObject({ input_tokens: 7, output_tokens: 3 });
  });

  test('reads an answer of others, though the provider splits it', async () => {
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(EVENTS.chat.opening);
        for (const piece of ['Ask grace', '.hopper@na', 'vy.example', ' today.'])
          await turn.chunk(EVENTS.chat.word(piece));
        await turn.chunk(EVENTS.chat.end);
        await turn.lastChunk();
      },
    });
    expect((await ask('redact', 'Whom?', true)).read).toBe('Ask [email] today.');
  });

  test('that hangs is cut at its budget: the request is refused, or let through where its table says so', async () => {
    const refused = await ask('hangs', 'poison');
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('hangs');
    expect(scene.asked).toEqual({});
    const passed = await ask('lax-hangs', 'poison');
    expect([passed.status, passed.read]).toEqual([200, 'poison']);
    expect((await askAgain('hangs', 'fine')).read).toBe('fine');
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_guard_judge_failures_total{reason="late"}')).toBeGreaterThanOrEqual(2);
    expect(metrics.get('ai_guard_module_ends_total{reason="late"}')).toBeGreaterThanOrEqual(2);
  });

  test('that takes memory without end takes its process with it, and nothing else', async () => {
    expect((await ask('breaks', 'poison')).status).toBe(400);
    expect((await ask('redact', PROMPT)).read).toBe('Write to [email] or call [phone].');
    expect((await askAgain('breaks', 'fine')).read).toBe('fine');
  });

  test('is loaded anew when its file changes, and goes on as it was when that cannot be loaded', async () => {
    expect((await ask('changing', 'a word')).read).toBe('a first');
    replaceModule(
      changing,
      `export default { name: 'changing', request: (text) => text.replaceAll('word', 'second') };`,
    );
    await scene.gateway.waitForLog((line) => line['event'] === 'guard_module_reloaded');
    expect((await ask('changing', 'a word')).read).toBe('a second');
    replaceModule(changing, 'export default { request: text => ');
    await scene.gateway.waitForLog((line) => line['event'] === 'guard_module_not_reloaded');
    expect((await ask('changing', 'a word')).read).toBe('a second');
  });
});

/** Processes that a gateway has begun. */
const childrenOf = (pid: number): readonly string[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean),
  );

describe('the process of a module', () => {
  test.each([
    'SIGKILL',
    'SIGTERM',
  ] as const)('ends with its gateway by %s, though the module hangs', async (signal) => {
    const own = await startRoutedScene(
      ['openai'],
      `rate_limit_rps = 0
shutdown_grace_secs = 0
[policies.default]
guards = ["stuck"]
[guards.stuck]
module = ${JSON.stringify(hangs)}
budget_ms = 60000
[routes.chat]
targets = ["openai/m"]
`,
    );
    const { child } = own.gateway;
    const [module = 'none', ...others] = childrenOf(child.pid ?? 0);
    expect(others).toEqual([]);
    const asked = fetch(`http://127.0.0.1:${own.gateway.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${own.key}` },
      body: JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'poison' }] }),
    }).catch(() => null);
    // Its thread computes: more than its start has taken.
    const ticks = (): number =>
      Number(readFileSync(`/proc/${module}/stat`, 'utf8').split(') ')[1]?.split(' ')[11]);
    const before = ticks();
    await until('it hangs', () => ticks() > before + 100);
    child.kill(signal);
    await asked;
    await until('its module is gone', () => !existsSync(`/proc/${module}`));
    for (const upstream of Object.values(own.upstreams)) await upstream.close();
  });
});

describe('a server that judges', () => {
  test('has found names taken out of prompts and answers', async () => {
    analyzer.answer = ({ body }, response) =>
      json(response, presidioFinds(JSON.parse(body).text, { 'Ada 😀 Lovelace': 'PERSON' }));
    const { read, sent: had } = await ask('presidio', 'I am Ada 😀 Lovelace.', true);
    expect([had, read]).toEqual(['I am [PERSON].', 'I am [PERSON].']);
  });

  test('refuses a prompt, by the category and never by the text', async () => {
    moderator.answer = ({ body }, response) => {
      const { input } = JSON.parse(body) as { readonly input: readonly string[] };
      json(response, {
        results: input.map((text) => ({
          flagged: text.includes('bomb'),
          categories: { violence: true },
        })),
      });
    };
    const { status, text } = await ask('moderation', 'a bomb');
    expect([status, text.includes('bomb')]).toEqual([400, false]);
    expect(scene.asked).toEqual({});
    expect(moderator.asked.at(-1)?.authorization).toBe('Bearer sk-of-the-moderator');
    expect((await ask('moderation', 'a rose')).read).toBe('a rose');
  });

  test('that fails refuses what it was to judge', async () => {
    analyzer.answer = (_, response) => json(response, {}, 500);
    expect((await ask('presidio', 'I am Ada.')).status).toBe(400);
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_guard_judge_failures_total{reason="status"}')).toBeGreaterThanOrEqual(1);
  });
});

describe('the exchange log', () => {
  const lines = (): readonly string[] => readFileSync(said, 'utf8').split('\n').filter(Boolean);

  test.each(['log', 'pii-log'])('has both sides of an exchange masked (%s)', async (policy) => {
    const { read, fields } = await ask(policy, PROMPT, true);
    expect(read).toBe(PROMPT);
    const id = fields.get('x-sluice-request-id') ?? 'none';
    const line = await until('it is written', () => lines().find((one) => one.includes(id)));
    const mail = policy === 'log' ? '[EMAIL]' : '[EMAIL_1]';
    const phone = policy === 'log' ? '[PHONE]' : '[PHONE_1]';
    expect(JSON.parse(line)).toMatchObject({
      guard: 'log',
      model: 'chat',
      request: {
        cut: false,
        texts: [{ kind: 'prompt', text: `Write to ${mail} or call ${phone}.` }],
      },
      response: {
        cut: false,
        texts: [{ kind: 'text', text: `Write to ${mail} or call ${phone}.` }],
      },
    });
  });

  test('nothing that the gateway wrote anywhere holds what was masked', async () => {
    await ask('log', PROMPT);
    await until('all is written', async () => {
      const metrics = await scene.gateway.metrics();
      return (metrics.get('ai_exchange_log_written_total') ?? 0) >= 3;
    });
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    const written = [...files, JSON.stringify(scene.gateway.logs)].join('\n');
    expect(written).toContain('[EMAIL]');
    expect(written).not.toMatch(/lovelace|7946/i);
  });

  test('that takes nothing costs no exchange anything but its line', async () => {
    const texts = 'x'.repeat(100_000);
    const dropped = async (): Promise<number> =>
      (await scene.gateway.metrics()).get('ai_exchange_log_dropped_total') ?? 0;
    await until(
      'its lines are dropped',
      async () => {
        const all = await Promise.all(Array.from({ length: 8 }, () => ask('stalled', texts)));
        expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]));
        return (await dropped()) > 0;
      },
      90_000,
    );
    // The other one is written by the same thread: its lines are dropped, too, and its exchanges go on.
    expect((await ask('log', PROMPT)).status).toBe(200);
  });
});

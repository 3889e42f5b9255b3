import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys } from '../support/managed.ts';
import { startRoutedScene, streamsChunks } from '../support/routed-scene.ts';
import { type Stage, startStage, TENANTS, virtualKey } from './stage.ts';
import { COMMANDS } from './toolchains.ts';

// The coding agents that people point at a gateway first. Each is run as its users run it: one prompt, no terminal.

interface Ran {
  readonly exit: number | null;
  readonly stdout: string;
  readonly all: string;
}

interface Agent {
  readonly name: string;
  readonly program: string;
  /** Whose paths it asks. */
  readonly provider: string;
  /** Models that are reached over another wire. */
  readonly others: readonly string[];
  run(home: string, base: string, key: string, model: string): Promise<Ran>;
}

/** An agent that hangs is killed; each answers in a few seconds. */
const RUN_MAX_MS = 60_000;
const PROMPT = 'Say what the river said to the stone';
const OWN_KEY = 'sk-mine';
const WRONG_KEY = 'bai_v1.7.AAAAAAAAAAAAAAAAAAAAAA.AAAA';

async function run(
  program: string,
  argv: readonly string[],
  home: string,
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const [command = '', ...first] = COMMANDS.command(program);
  const child = spawn(command, [...first, ...argv], {
    cwd: home,
    // Nothing of this machine's owner: its settings and keys would win.
    env: { PATH: process.env['PATH'] ?? '', HOME: home, TERM: 'dumb', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_MAX_MS,
  });
  let stdout = '';
  let all = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    all += text;
  });
  const exit = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { exit, stdout, all };
}

const AGENTS: readonly Agent[] = [
  {
    name: 'Codex CLI',
    program: '@openai/codex/bin/codex.js',
    provider: 'openai',
    others: [
      'anthropic/claude-opus-4-8',
      'cerebras/llama-3.3-70b',
      'gemini/gemini-3-flash',
      'ollama/qwen3:8b',
    ],
    run: async (home, base, key, model) => {
      const lines = [
        `model = "${model}"`,
        `openai_base_url = "${base}/v1"`,
        'check_for_update_on_startup = false',
        '[analytics]',
        'enabled = false',
      ];
      writeFileSync(join(home, 'config.toml'), `${lines.join('\n')}\n`);
      const argv = ['exec', '--skip-git-repo-check', '-s', 'read-only', PROMPT];
      const env = { CODEX_HOME: home, OPENAI_API_KEY: key, CODEX_API_KEY: key };
      return await run('@openai/codex/bin/codex.js', argv, home, env);
    },
  },
  {
    name: 'Claude Code',
    program: '@anthropic-ai/claude-code/cli-wrapper.cjs',
    provider: 'anthropic',
    others: ['gemini/gemini-3-flash-preview', 'openai/gpt-4o-mini', 'ollama/qwen3:8b'],
    run: async (home, base, key, model) =>
      await run(
        '@anthropic-ai/claude-code/cli-wrapper.cjs',
        ['-p', PROMPT, '--model', model],
        home,
        {
          ANTHROPIC_BASE_URL: base,
          ANTHROPIC_API_KEY: key,
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
          CLAUDE_CODE_MAX_RETRIES: '0',
        },
      ),
  },
];

/** Where the providers of other wires are asked. */
const ENDPOINTS: Readonly<Record<string, RegExp>> = {
  openai: /\/chat\/completions$/,
  cerebras: /\/chat\/completions$/,
  anthropic: /\/messages$/,
  gemini: /:streamGenerateContent$/,
  ollama: /^\/api\/chat$/,
};

/** It has OpenAI's Responses API, too: what Codex asks would go as it came. */
const OWN_WIRE_ALONE = '[provider_wires]\nollama = ["ollama"]\n';

const missing = COMMANDS.missing();
let stage: Stage | null = null;
const homes: string[] = [];

beforeAll(async () => {
  if (missing === null) {
    await COMMANDS.install();
    stage = await startStage();
    return;
  }
  console.warn(`The coding agents are skipped: ${missing}.`);
});
afterAll(async () => {
  await stage?.stop();
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

const newHome = (): string => {
  const home = mkdtempSync(join(tmpdir(), 'sluice-agent-'));
  homes.push(home);
  return home;
};
const answersOf = async (gateway: Gateway, provider: string): Promise<number> =>
  (await gateway.idle()).get(`ai_upstream_responses_total{provider="${provider}",status="2xx"}`);

describe.each(AGENTS)('$name', (agent) => {
  let broken: string | null = null;
  beforeAll(async () => {
    if (missing !== null) return;
    const { exit, all } = await run(agent.program, ['--version'], newHome(), {});
    // A binary for another machine, or for a newer C library.
    if (exit !== 0) broken = `${agent.name} does not run here: ${all.slice(0, 300)}`;
    if (broken !== null) console.warn(broken);
  });

  const KEYS = [
    ['an own key', () => OWN_KEY, 0],
    ['a virtual key', () => virtualKey(71, TENANTS.calls), 1],
  ] as const;

  it.for(KEYS)('with %s shows what the model streams, and its bill is right', async ([
    ,
    key,
    billed,
  ], ctx) => {
    if (stage === null || broken !== null) return ctx.skip(missing ?? broken ?? '');
    const { gateway } = stage;
    const before = facts(gateway).length;
    const answers = await answersOf(gateway, agent.provider);
    const ran = await agent.run(newHome(), gateway.origin, key(), 'gpt-4o-mini');
    expect(ran.all).not.toContain('does not reach');
    expect([ran.exit, ran.stdout.trim().length > 0]).toEqual([0, true]);
    expect(await answersOf(gateway, agent.provider)).toBeGreaterThan(answers);
    const own = facts(gateway).slice(before);
    expect(own.length >= billed && (billed > 0 || own.length === 0)).toBe(true);
    for (const fact of own) {
      expect(fact).toMatchObject({
        usage_source: 'reported',
        stream: true,
        key_id: '71',
        outcome: 'complete',
      });
    }
  });

  it('through a route whose first target is cut in the middle shows an answer that is whole', async (ctx) => {
    if (stage === null || broken !== null) return ctx.skip(missing ?? broken ?? '');
    const { provider } = agent;
    const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
    const gateway = await startGateway({
      config:
        `workers = 1\n${authorities({ [provider]: mock.port })}${poolKeys({ [provider]: 'sk-pool-of-a-route' })}` +
        `${signingKeys()}[routes.house]\ntargets = ["${provider}/fault-cut-5"]\n` +
        `fallbacks = ["${provider}/whole"]\nretries = 0\nstream_safety = "hold"\n`,
    });
    try {
      const key = virtualKey(73, TENANTS.calls);
      const ran = await agent.run(newHome(), gateway.origin, key, 'house');
      expect([ran.exit, ran.stdout.trim().length > 0]).toEqual([0, true]);
      const cut = `${provider}/fault-cut-5`;
      await gateway.waitForLog(({ target_model }) => target_model === cut);
      const own = facts(gateway);
      for (const { target_model, final, outcome } of own) {
        const isWhole = target_model === `${provider}/whole`;
        expect([final, outcome]).toEqual([isWhole, isWhole ? 'complete' : 'upstream_error']);
      }
    } finally {
      await gateway.stop();
      await mock.close();
    }
  });

  it.for(
    agent.others,
  )('on %s, which is asked in another wire, finishes a task with a tool', async (model, ctx) => {
    if (stage === null || broken !== null) return ctx.skip(missing ?? broken ?? '');
    const [provider = ''] = model.split('/');
    const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
    const gateway = await startGateway({
      config:
        `workers = 1\n${authorities({ [provider]: mock.port })}${poolKeys({ [provider]: 'sk-pool-of-a-wire' })}` +
        `${signingKeys()}${provider === 'ollama' ? OWN_WIRE_ALONE : ''}`,
    });
    try {
      const key = virtualKey(74, TENANTS.calls);
      const ran = await agent.run(newHome(), gateway.origin, key, model);
      expect([ran.exit, ran.stdout.trim().length > 0]).toEqual([0, true]);
      await gateway.idle();
      // The call, and what was said behind its result.
      expect(facts(gateway).length).toBeGreaterThan(1);
      for (const fact of facts(gateway))
        expect(fact).toMatchObject({
          provider,
          endpoint: expect.stringMatching(ENDPOINTS[provider] ?? 'none'),
          usage_source: 'reported',
          outcome: 'complete',
        });
    } finally {
      await gateway.stop();
      await mock.close();
    }
  });

  it('says what is wrong with a key that is none', async (ctx) => {
    if (stage === null || broken !== null) return ctx.skip(missing ?? broken ?? '');
    const ran = await agent.run(newHome(), stage.gateway.origin, WRONG_KEY, 'gpt-4o-mini');
    expect(ran.exit).not.toBe(0);
    expect(ran.all).toMatch(/gateway key is not valid|401|Invalid API key/);
  });

  it('says what is wrong with a model that the provider does not have', async (ctx) => {
    if (stage === null || broken !== null) return ctx.skip(missing ?? broken ?? '');
    const ran = await agent.run(
      newHome(),
      stage.gateway.origin,
      virtualKey(72, TENANTS.calls),
      'fault-404',
    );
    expect(ran.all).toMatch(/404|model/i);
    expect(ran.exit).not.toBe(0);
  });
});

/** What Claude says in a task of one tool: a thought that it signed, a word, and what it has the agent run. */
const SIGNATURE = 'EqoBCkgIARABGAIiQL+/thought==';
const NOTE = 'the stone is older than the river';
const event = (type: string, more: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const block = (index: number, opening: object, ...deltas: readonly object[]): string =>
  event('content_block_start', { index, content_block: opening }) +
  deltas.map((delta) => event('content_block_delta', { index, delta })).join('') +
  event('content_block_stop', { index });
const message = (reason: string, ...blocks: readonly string[]): readonly string[] => [
  event('message_start', {
    message: { id: 'msg_1', model: 'claude-opus-4-8', content: [], usage: { input_tokens: 9 } },
  }),
  ...blocks,
  event('message_delta', { delta: { stop_reason: reason }, usage: { output_tokens: 5 } }),
  event('message_stop', {}),
];
const THOUGHT = block(
  0,
  { type: 'thinking', thinking: '', signature: '' },
  { type: 'thinking_delta', thinking: 'It is in the file.' },
  { type: 'signature_delta', signature: SIGNATURE },
);
const COMMAND = JSON.stringify({ cmd: 'cat note.txt' });
const READS = block(
  1,
  { type: 'tool_use', id: 'toolu_1', name: 'exec_command', input: {} },
  { type: 'input_json_delta', partial_json: COMMAND.slice(0, 9) },
  { type: 'input_json_delta', partial_json: COMMAND.slice(9) },
);
const SAYS = block(0, { type: 'text', text: '' }, { type: 'text_delta', text: 'It is older.' });

it('Codex CLI runs what Claude asks for, and hands back what came of it and the thought as it was signed', async (ctx) => {
  if (missing !== null) return ctx.skip(missing);
  const codex = AGENTS.find(({ name }) => name === 'Codex CLI');
  const { exit } = await run(codex?.program ?? '', ['--version'], newHome(), {});
  if (codex === undefined || exit !== 0) return ctx.skip('Codex CLI does not run here');
  const scene = await startRoutedScene(
    ['anthropic'],
    '[routes.house]\ntargets = ["anthropic/claude-opus-4-8"]\n',
  );
  try {
    scene.plays({
      anthropic: [
        streamsChunks(...message('tool_use', THOUGHT, READS)),
        streamsChunks(...message('end_turn', SAYS)),
      ],
    });
    const home = newHome();
    writeFileSync(join(home, 'note.txt'), NOTE);
    const ran = await codex.run(home, scene.gateway.origin, scene.key, 'house');
    expect([ran.exit, ran.stdout.trim()]).toEqual([0, 'It is older.']);
    const second = scene.upstreams['anthropic']?.requests[1]?.body.toString() ?? '';
    const { messages } = JSON.parse(second) as { messages: readonly object[] };
    expect(messages.slice(-2)).toMatchObject([
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'It is in the file.', signature: SIGNATURE },
          { type: 'tool_use', id: 'toolu_1', name: 'exec_command', input: { cmd: 'cat note.txt' } },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1' }] },
    ]);
    expect(JSON.stringify(messages.at(-1))).toContain(NOTE);
  } finally {
    await scene.stop();
  }
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { facts } from '../support/managed.ts';
import { type Stage, startStage, TENANTS, virtualKey } from './stage.ts';
import { JAVA } from './toolchains.ts';

// Java's HttpClient: LangChain4j, Spring AI and the vendors' own Java SDKs can be put on it. In plaintext it begins with an
// offer to upgrade to HTTP/2, which must be passed over.

interface Came {
  readonly version: string;
  readonly status: number;
  readonly lines: number;
  readonly end: string;
}

type Call = readonly [method: string, path: string, key: string, body: object | null];

const missing = JAVA.missing();
let stage: Stage | null = null;

beforeAll(async () => {
  if (missing === null) stage = await startStage();
  else console.warn(`Java's HttpClient is skipped: ${missing}.`);
});
afterAll(async () => await stage?.stop());

async function run({ gateway }: Stage, calls: readonly Call[]): Promise<readonly Came[]> {
  const [command = '', ...argv] = JAVA.command('Calls.java');
  const asked = calls.flatMap(([method, path, key, body]) => [
    method,
    `${gateway.origin}${path}`,
    key,
    body === null ? '' : JSON.stringify(body),
  ]);
  // The mock provider answers in this process.
  const { stdout, stderr } = await promisify(execFile)(command, [...argv, ...asked]);
  expect(stderr).toBe('');
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split('\t'))
    .map(([version = '', status, lines, end = '']) => ({
      version,
      status: Number(status),
      lines: Number(lines),
      end,
    }));
}

const CHAT = '/v1/chat/completions';
const asked = (more: object) => ({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Say what the river said' }],
  ...more,
});

describe('Java HttpClient', () => {
  const KEYS = [
    ['an own key', 'sk-mine', 0],
    ['a virtual key', virtualKey(91, TENANTS.calls), 2],
  ] as const;

  it.for(KEYS)('with %s chats, streams and lists models over HTTP/1.1', async ([
    ,
    key,
    billed,
  ], ctx) => {
    if (stage === null) return ctx.skip(missing ?? '');
    const before = facts(stage.gateway).length;
    const [chat, stream, models] = await run(stage, [
      ['POST', CHAT, key, asked({})],
      ['POST', CHAT, key, asked({ stream: true })],
      ['GET', '/v1/models', key, null],
    ]);
    expect(chat).toMatchObject({ version: 'HTTP_1_1', status: 200 });
    expect(chat?.end).toContain('usage');
    expect(stream?.status).toBe(200);
    expect(stream?.lines).toBeGreaterThan(4);
    expect(stream?.end).toContain('[DONE]');
    expect(models).toMatchObject({ status: 200 });
    const own = facts(stage.gateway).slice(before);
    expect(own.filter((fact) => fact['usage_source'] === 'reported').length).toBe(billed);
  });

  it('is told what is wrong', async (ctx) => {
    if (stage === null) return ctx.skip(missing ?? '');
    const refused = await run(stage, [
      ['POST', CHAT, 'bai_v1.7.x.y', asked({})],
      ['POST', CHAT, virtualKey(92, TENANTS.calls), asked({ model: 'fault-404' })],
      ['POST', '/v1/files', virtualKey(92, TENANTS.calls), asked({})],
    ]);
    expect(refused.map(({ status }) => status)).toEqual([401, 404, 404]);
    expect(refused[0]?.end).toContain('bad_key');
    expect(refused[2]?.end).toContain('endpoint_not_managed');
  });
});

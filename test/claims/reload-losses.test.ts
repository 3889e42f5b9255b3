import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { statuses } from '../support/every-worker.ts';
import { authorities, Gateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let upstream: ScriptedUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => await upstream.close());
afterEach(async () => await gateway.stop());

const providers = (): string => authorities({ openai: upstream.port });
const pool = (): string => poolKeys({ openai: 'sk-pool' });
const whole = (): string => `workers = 2\n${providers()}${pool()}${signingKeys()}`;

async function started(): Promise<void> {
  gateway = await new Gateway({ config: whole() }).ready();
  expect(await statuses(gateway, token())).toEqual([200]);
}

/** Tells it to read, and waits for its refusal. @returns what it said */
async function refused(write: () => void): Promise<string> {
  const before = gateway.count('config_reload_failed');
  write();
  gateway.signal('SIGHUP');
  const line = await gateway.waitForLog(() => gateway.count('config_reload_failed') > before);
  expect(line).toBeDefined();
  expect(gateway.count('config_reloaded')).toBe(0);
  expect(await statuses(gateway, token())).toEqual([200]);
  return String(gateway.events('config_reload_failed').at(-1)?.['problems']);
}

describe('a running gateway keeps what it has when its file', () => {
  it('was emptied, or holds only comments', async () => {
    await started();
    expect(await refused(() => writeFileSync(gateway.file, ''))).toMatch(/not one key/);
    const said = await refused(() => writeFileSync(gateway.file, '# nothing\n\n'));
    expect(said).toMatch(/config\.toml.*not one key.*write it again, or restart/);
    expect((await gateway.metrics()).get('ai_config_reload_total{result="failed"}')).toBe(2);
  });

  it.each([
    ['signing_keys', () => `${providers()}${pool()}`],
    ['pool_keys', () => `${providers()}${signingKeys()}`],
    ['provider_authorities', () => `${pool()}${signingKeys()}`],
    // The table is there, and what stood in it is not.
    ['signing_keys', () => `${providers()}${pool()}[signing_keys]\n`],
  ])('has no entry of %s any more', async (table, config) => {
    await started();
    const said = await refused(() => gateway.configure(`workers = 2\n${config()}`));
    expect(said).toMatch(new RegExp(`${table}: found no entry.*allow_empty`));
  });

  it('ends in the middle of a line that is a valid one', async () => {
    await started();
    const said = await refused(() =>
      gateway.configure(`${whole()}[provider_dialects]\nopenai = "openai"`),
    );
    expect(said).toMatch(/the last line: found no line end/);
  });

  it('became a folder', async () => {
    await started();
    const said = await refused(() => {
      rmSync(gateway.file);
      mkdirSync(gateway.file);
    });
    expect(said).toMatch(/not a regular file/);
  });

  it('may not be read any more', async (ctx) => {
    if (process.getuid?.() === 0) ctx.skip('root may read everything');
    await started();
    expect(await refused(() => chmodSync(gateway.file, 0))).toMatch(/permission denied/);
  });
});

describe('what is meant is taken', () => {
  it('with allow_empty in the same file the last signing key goes at once', async () => {
    await started();
    await gateway.reload(`workers = 2\nallow_empty = true\n${providers()}${pool()}`);
    expect(await statuses(gateway, token())).toEqual([401]);
    await gateway.reload(whole());
    expect(await statuses(gateway, token())).toEqual([200]);
  });

  it('a table that keeps an entry may lose the others, and a refused file may be put right', async () => {
    gateway = await new Gateway({
      config: `workers = 2\n${authorities({ openai: upstream.port, mine: upstream.port })}${pool()}${signingKeys()}`,
    }).ready();
    await refused(() => gateway.configure(''));
    await gateway.reload(whole());
    expect(await statuses(gateway, token(), '/mine/v1/chat/completions')).toEqual([404]);
  });
});

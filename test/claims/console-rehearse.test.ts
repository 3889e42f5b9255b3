import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { admin, ConsoleScene, type Told } from '../support/console-scene.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

const operator = admin('otto', 'operator');
const viewer = admin('vera', 'viewer');

type Mock = Awaited<ReturnType<typeof startMock>>;

let mock: Mock;
let scene: ConsoleScene;

const configOf = (rehearse: string): string => `${rehearse}
[provider_authorities]
openai = "${mock.origin}"
groq = "${mock.origin}"
${poolKeys({ openai: 'sk-rehearsed', groq: 'gsk-rehearsed' })}${signingKeys()}
[policies.brave]
rehearse = true
[keys.7]
policy = "brave"
[routes.chat]
targets = ["openai/gpt-5-mini"]
fallbacks = ["groq/llama-3.3-70b-versatile"]
retries = 0
first_content_timeout_secs = 1
`;

beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  const config = configOf(`rehearse_authority = "${mock.origin}"`);
  scene = await new ConsoleScene([operator, viewer], { config }).ready();
});
afterAll(async () => {
  await scene.stop();
  await mock.close();
});

const BRAVE = token({ keyId: 7n });
const TIMID = token({ keyId: 8n });

async function rehearse(wish: object, on = scene): Promise<Told> {
  const body = { model: 'chat', key: BRAVE, reason: 'a rehearsal', ...wish };
  return await on.call(operator, 'POST', '/rehearse', { body });
}

const fails = (target: string, fault: string) => ({ faults: [{ target, fault }] });

describe('a rehearsal by the admin API', () => {
  it.each([
    ['503', '503'],
    ['429;retry-after=3', '429'],
    ['silence', 'SILENT'],
  ])('lets a target fail by %s, tells where the caller ended and on which way, and counts for nobody', async (fault, came) => {
    const before = await scene.gateway.metrics();
    const told = await rehearse(fails('openai', fault));
    expect([told.status, told.json()]).toMatchObject([
      200,
      {
        status: 200,
        target: 'groq/llama-3.3-70b-versatile',
        attempts: [
          { target: 'openai/gpt-5-mini', came },
          { target: 'groq/llama-3.3-70b-versatile', came: '200' },
        ],
        whole: true,
        says: '',
      },
    ]);
    const attempts = 'ai_attempts_total{provider="openai"}';
    expect((await scene.gateway.metrics()).get(attempts)).toBe(before.get(attempts));
    await scene.gateway.idle();
    expect(facts(scene.gateway).filter(({ provider }) => provider === 'openai')).toEqual([]);
  });

  it('tells what a caller is told where every target fails', async () => {
    const faults = [
      { target: 'openai/gpt-5-mini', fault: '503' },
      { target: 'groq', fault: '429;retry-after=7' },
    ];
    const { status, target, says } = (await rehearse({ faults })).json();
    expect([status, target]).toEqual([429, 'groq/llama-3.3-70b-versatile']);
    expect(says).not.toBe('');
  });

  it('tells of an answer that is cut that it is', async () => {
    const faults = ['openai', 'groq'].map((target) => ({ target, fault: 'cut-3' }));
    expect((await rehearse({ faults })).json()).toMatchObject({ status: 200, whole: false });
  });

  it('asks nobody where the faults would not be played: no such fault, no such model, a key that may not', async () => {
    const before = facts(scene.gateway).length;
    const explode = await rehearse(fails('openai', 'explode'));
    expect([explode.status, explode.json()['parts']]).toMatchObject([
      400,
      [{ key: 'body.faults.0.fault' }],
    ]);
    const timid = await rehearse({ key: TIMID, ...fails('openai', '503') });
    expect([timid.status, timid.json()['code']]).toEqual([409, 'conflict']);
    expect(timid.json()['detail']).toContain('rehearse = true');
    const forged = `${BRAVE.slice(0, -3)}AAA`.replace(/.$/, 'g');
    for (const key of ['sk-nobody', forged])
      expect((await rehearse({ key, ...fails('openai', '503') })).status).toBe(400);
    expect((await rehearse({ model: 'opnai/x', ...fails('openai', '503') })).status).toBe(404);
    // A name cannot end its own part of the field and begin another.
    for (const target of ['openai=503, groq', 'openai, groq', 'openai groq'])
      expect((await rehearse(fails(target, '503'))).status).toBe(400);
    const own = await new ConsoleScene([operator], { config: configOf('') }).ready();
    const nobody = await rehearse(fails('openai', '503'), own);
    expect([nobody.status, String(nobody.json()['detail'])]).toEqual([
      409,
      expect.stringContaining('rehearse_authority'),
    ]);
    expect(facts(own.gateway)).toEqual([]);
    await own.stop();
    await scene.gateway.idle();
    expect(facts(scene.gateway)).toHaveLength(before);
  });

  it('takes an operator, and stands in the audit log with its reason and without the key', async () => {
    const body = { model: 'chat', key: BRAVE, ...fails('openai', '503') };
    expect((await scene.call(viewer, 'POST', '/rehearse', { body })).status).toBe(403);
    await rehearse({ ...fails('openai', '503'), reason: 'before the launch' });
    const told = await scene.call(operator, 'GET', '/audit?limit=1');
    expect(told.json()['rows']).toMatchObject([
      { operation: 'rehearse', reason: 'before the launch', after: { model: 'chat' } },
    ]);
    expect(told.text).not.toContain(BRAVE);
  });
});

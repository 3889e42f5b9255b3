import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { printConfig } from '../../../src/config/config-print.ts';
import { problemLine } from '../../../src/config/config-problem.ts';
import { loadEffective } from '../../../src/overlay/effective-config.ts';
import {
  type OverlayEntry,
  type OverlayValue,
  placeFrom,
} from '../../../src/overlay/overlay-entry.ts';
import { overlayToml } from '../../../src/overlay/overlay-toml.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-overlay-'));
afterAll(() => rmSync(folder, { recursive: true }));

const FILE = `
[policies.agents]
rpm = 60
tpm = 1000
[policies.fixed]
locked = true
rpm = 1
[keys.7]
name = "crawler"
policy = "agents"
[routes.chat]
targets = ["openai/gpt-4o"]
[policies.readers]
models = ["chat", "openai/gpt-4o"]
`;

let files = 0;
function sourceOf(text = FILE) {
  const path = join(folder, `${files++}.toml`);
  writeFileSync(path, text);
  return { path, env: {} };
}

let revision = 0;
function entry(at: string, value: OverlayValue, expiresMs: number | null = null): OverlayEntry {
  const place = placeFrom(at);
  if (place === null) throw new Error(`${at} is no place`);
  const made = { author: 'ada', reason: '', atMs: 0, expiresMs };
  return { ...place, ...made, value, revision: ++revision };
}

const linesOf = (problems: ReturnType<typeof loadEffective>['refused']) =>
  problems.map(problemLine);

describe('an overlay over a file', () => {
  test('says a member, and leaves what else the file says of the entry', () => {
    const { loaded, refused } = loadEffective(
      sourceOf(),
      [entry('policies.agents', { rpm: 30 }), entry('keys.8', { policy: 'agents' })],
      [],
    );
    expect(refused).toEqual([]);
    const { policies, keys } = loaded.config.policy;
    expect(policies.get('agents')).toMatchObject({ rpm: 30, tpm: 1000 });
    expect(keys.get('7')).toMatchObject({ name: 'crawler', policy: 'agents' });
    expect(keys.get('8')).toMatchObject({ name: null, policy: 'agents' });
  });

  test('says nothing from its end on', () => {
    const over = entry('policies.agents', { rpm: 30 }, Date.now() - 1);
    const { loaded } = loadEffective(sourceOf(), [over], []);
    expect(loaded.config.policy.policies.get('agents')).toMatchObject({ rpm: 60 });
  });

  test('says nothing where the file says locked = true, and that is told', () => {
    const { loaded, refused } = loadEffective(
      sourceOf(),
      [entry('policies.fixed', { rpm: 9 })],
      [],
    );
    expect(loaded.config.policy.policies.get('fixed')).toMatchObject({ rpm: 1 });
    expect(linesOf(refused)).toEqual([
      expect.stringMatching(
        /^overlay: policies\.fixed: found an entry, expected none: .*toml says locked = true there$/,
      ),
    ]);
  });

  test('passes no lock of a price by another name of its provider', () => {
    const text = '[prices."gemini/x"]\nlocked = true\ninput = "1"\noutput = "1"\n';
    const cheap = entry('prices.google/x', { free: true });
    const { loaded, refused } = loadEffective(sourceOf(text), [cheap], []);
    expect(loaded.config.pricing.overrides).toHaveLength(1);
    expect(refused).toHaveLength(1);
  });

  test('names no file and no variable of the gateway', () => {
    const leaks = { name: 'file:/etc/passwd', policy: 'agents' };
    const { loaded } = loadEffective(sourceOf(), [entry('keys.9', leaks)], []);
    expect(loaded.config.policy.keys.get('9')?.name).toBe('file:/etc/passwd');
  });

  test('lays nothing over what is printed as locked and read again', () => {
    const { config, overlay } = loadConfig(sourceOf());
    const printed = loadConfig(sourceOf(printConfig(config, overlay.locked)));
    expect([...printed.overlay.locked]).toEqual(['policies.fixed']);
  });

  test('that is empty is the file exactly', () => {
    const source = sourceOf();
    expect(loadEffective(source, [], []).loaded.document).toEqual(loadConfig(source).document);
  });

  test('is what its export says, put into the file', () => {
    const entries = [
      entry('keys.9', { name: 'a "b" \\ c\u007f', tenant: '3', policy: 'agents' }),
      entry('routes.fast:one', { targets: [{ to: 'groq/llama', weight: 2 }, 'openai/gpt-4o'] }),
      entry('prices.openai/x-1.5', {
        input: '0.20',
        output: 0.6,
        tiers: [{ over: 9, input: 1, output: 2 }],
      }),
    ];
    const laid = loadEffective(sourceOf(), entries, []).loaded.document;
    const exported = loadConfig(sourceOf(`${FILE}\n${overlayToml(entries)}`)).document;
    expect(exported).toEqual(laid);
  });
});

describe('a bad entry', () => {
  const bad: readonly (readonly [string, string, OverlayValue, RegExp])[] = [
    [
      'an unknown class',
      'keys.9',
      { class: 'robot' },
      /keys\.9\.class: found "robot", expected "dev/,
    ],
    [
      'a policy that is none',
      'keys.9',
      { policy: 'gone' },
      /keys\.9\.policy: found "gone", expected one of/,
    ],
    ['a policy that names no route', 'policies.p', { models: ['nope'] }, /policies\.p\.models/],
    [
      'a limit of -1',
      'policies.p',
      { rpm: -1 },
      /policies\.p\.rpm: found -1, expected requests a min/,
    ],
    [
      'an unknown member',
      'policies.p',
      { rpn: 1 },
      /policies\.p\.rpn: found an unknown key, expected rpm/,
    ],
    ['an id that is none', 'keys.007', { name: 'x' }, /keys\.007: found an id that is none/],
    ['a route to nowhere', 'routes.r', { targets: ['nope/x'] }, /routes\.r/],
    ['a route without targets', 'routes.r', { retries: 1 }, /routes\.r/],
    ['a price that is none', 'prices.openai/x', { input: 'much' }, /prices\.openai\/x/],
    [
      'what takes a route away from a file’s policy',
      'routes.chat',
      { targets: ['groq/x'] },
      /routes\.chat: found what contradicts it/,
    ],
  ];

  test.each(
    bad,
  )('%s is refused by itself, with file, key, found and expected', (_, at, value, line) => {
    const good = entry('policies.agents', { rpm: 30 });
    const { loaded, accepted, refused } = loadEffective(sourceOf(), [entry(at, value), good], []);
    expect(linesOf(refused).join('\n')).toMatch(line);
    expect(linesOf(refused).every((told) => told.startsWith('overlay: '))).toBe(true);
    expect(accepted).toEqual([good]);
    expect(loaded.config.policy.policies.get('agents')).toMatchObject({ rpm: 30 });
  });

  test.each(bad)('%s leaves what counted before in its place', (_, at, value) => {
    const source = sourceOf();
    const before = loadEffective(source, [entry('policies.agents', { rpm: 30 })], []).accepted;
    const { loaded, accepted } = loadEffective(source, [...before, entry(at, value)], before);
    expect(accepted).toEqual(before);
    expect(loaded.config.policy.policies.get('agents')).toMatchObject({ rpm: 30 });
  });

  test('in the place of a good one leaves the good one', () => {
    const source = sourceOf();
    const good = entry('keys.9', { policy: 'agents' });
    const worse = entry('keys.9', { policy: 'gone' });
    const { loaded } = loadEffective(source, [worse], [good]);
    expect(loaded.config.policy.keys.get('9')?.policy).toBe('agents');
  });

  test('of a key loses only the member that is wrong: an end that was set holds', () => {
    const expires = '2020-01-01T00:00:00Z';
    const { loaded } = loadEffective(
      sourceOf(),
      [entry('keys.9', { policy: 'gone', expires })],
      [],
    );
    expect(loaded.config.policy.keys.get('9')).toMatchObject({
      policy: null,
      expiresMs: Date.parse(expires),
    });
  });

  test('that takes away what others speak of is refused, and they stay as they were', () => {
    const source = sourceOf();
    const policy = entry('policies.night', { rpm: 5 });
    const key = entry('keys.9', { policy: 'night' });
    const { accepted, refused, loaded } = loadEffective(source, [key], [policy, key]);
    expect(accepted).toHaveLength(2);
    expect(linesOf(refused)).toEqual([expect.stringContaining('overlay: policies.night')]);
    expect(loaded.config.policy.keys.get('9')?.policy).toBe('night');
  });

  test('does not hide a fault of the file', () => {
    const source = sourceOf('[policies.p]\nrpm = -1\n');
    expect(() => loadEffective(source, [entry('keys.9', { name: 'x' })], [])).toThrow(ConfigError);
  });
});

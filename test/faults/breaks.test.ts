import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BrokenResponse,
  breaking,
  brokenQuery,
  everyBreak,
  WIRE_RESPONSES,
} from '../support/broken-responses.ts';
import { until } from '../support/conditions.ts';
import type { LogLine } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { facts, token } from '../support/managed.ts';
import { CHAT, post, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';
import { selfSigned } from '../support/tls.ts';

const LANES = 24;
/** Short, because silence has to run into them; a break that ends the connection waits for none of them. */
const TIMEOUTS = 'connect_timeout_secs = 20\nfirst_byte_timeout_secs = 1\nidle_timeout_secs = 1\n';
/** Stalled exchanges wait side by side: a lane each. */
const STALLED_LANES = 300;
const OTHERS = 20;

let siege: Siege;
let secure: ScriptedUpstream;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-breaks-'));
  const tls = selfSigned(['127.0.0.1']);
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, tls.cert);
  secure = await startUpstream(breaking, { tls });
  siege = await startSiege(breaking, {
    config: `${TIMEOUTS}ca_file = "${caFile}"`,
    providers: `secure = "https://127.0.0.1:${secure.port}"`,
    poolKeys: { secure: 'sk-pool-secure' },
  });
});
afterAll(async () => {
  await siege.close();
  await secure.close();
  rmSync(folder, { recursive: true });
});

interface Ended {
  readonly provider: string;
  readonly broken: BrokenResponse;
  readonly response: RawResponse;
}

/** Asks for each of them. @returns what came of each */
async function relay(
  provider: string,
  key: string,
  breaks: readonly BrokenResponse[],
  lanes: number,
): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  await inLanes(
    breaks,
    lanes,
    () => null,
    async (broken) => {
      const asked = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
      const client = new RawClient(siege.gateway.port);
      client.send(post(key, `/${provider}${CHAT}?${brokenQuery(broken)}`, asked));
      const response = await client.response();
      client.close();
      ended.push({ provider, broken, response });
    },
  );
  return ended;
}

/** What a client may be told of a response that is not all there. */
function expectNoCleanEnd({ provider, broken, response }: Ended, rejection: number): void {
  const { name, at, how } = broken;
  const { body, headBytes, endsWithConnection, bytes } = WIRE_RESPONSES[name];
  const what = brokenQuery(broken);
  if (at < headBytes) {
    expect([what, response.status, response.complete]).toEqual([what, rejection, true]);
    return;
  }
  if (endsWithConnection && how === 'end') {
    expect([what, response.complete]).toEqual([what, true]);
    expect(response.body.toString()).toBe(body.slice(0, at - headBytes));
    return;
  }
  // docs/limits.md: the end of a TLS connection counts as announced, and a reset may look like one.
  if (endsWithConnection && how === 'reset' && provider === 'secure' && response.complete) return;
  // A reset may overtake what was written before it; then nothing of the response may have left.
  if (response.status === rejection) {
    expect([what, response.complete]).toEqual([what, true]);
    return;
  }
  // The last byte of a sized body is all that its client waits for.
  expect(at).toBeLessThan(bytes.length);
  expect([what, response.status, response.complete]).toEqual([what, 200, false]);
  // The comment by which an event stream's head leaves while its first event is late.
  const text = response.body.toString().replace(/^:\n/, '');
  const told = text.indexOf('data: {"error"');
  expect(body.startsWith(told < 0 ? text : text.slice(0, told))).toBe(true);
}

/** The one fact and the one access line of an exchange agree with what its client saw. */
function expectSettled({ broken, response }: Ended, fact: LogLine, managed: boolean): void {
  const whole = response.status === 200 && response.complete;
  const late = broken.how === 'stall' ? 'timeout' : 'upstream_cut';
  const early = broken.how === 'stall' ? 'timeout' : 'upstream_error';
  const outcome = whole ? 'complete' : response.status === 200 ? late : early;
  const what = brokenQuery(broken);
  expect([what, fact['outcome']]).toEqual([what, outcome]);
  if (!managed) return;
  // What was billed is never zero: the request was sent, whatever became of its answer.
  expect(fact['usage_source']).toMatch(/^(?:reported|estimated)$/);
  expect([what, Number(fact['input_tokens'])]).not.toEqual([what, 0]);
}

/** By request id. @returns lines of one kind since `from`, which must be there once for each */
async function linesOf(event: string, from: number, ended: readonly Ended[]) {
  const { gateway } = siege;
  const ids = new Set(ended.map(({ response }) => response.field('x-sluice-request-id')));
  expect(ids.size).toBe(ended.length);
  await until(`${ids.size} lines`, () => gateway.count(event) >= from + ids.size);
  const lines = gateway.events(event).slice(from);
  expect(lines.length).toBe(ids.size);
  return new Map(lines.map((line) => [line['request_id'], line]));
}

const HOW = {
  ends: ['end', LANES, 502],
  resets: ['reset', LANES, 502],
  stalls: ['stall', STALLED_LANES, 504],
} as const;
const WHO = [
  ['', 'openai', 'sk-own'],
  [' of a metered one', 'openai', token()],
  [' of one over TLS', 'secure', 'sk-own'],
  [' of a metered one over TLS', 'secure', token()],
] as const;

describe.each(Object.entries(HOW))('a provider whose connection %s', (_how, [
  how,
  lanes,
  status,
]) => {
  it.each(WHO)('at any byte of its response%s ends it once and never cleanly', async (...who) => {
    const [, provider, key] = who;
    const { gateway } = siege;
    const managed = key !== 'sk-own';
    const descriptors = gateway.descriptors();
    const before = { access: gateway.count('access'), facts: facts(gateway).length };
    const ended = await relay(provider, key, everyBreak(how), lanes);
    await gateway.idle();
    const access = await linesOf('access', before.access, ended);
    for (const end of ended) {
      expectNoCleanEnd(end, status);
      const line = access.get(end.response.field('x-sluice-request-id')) ?? {};
      expectSettled(end, line, false);
    }
    if (managed) {
      const told = await linesOf('ai.usage', before.facts, ended);
      for (const end of ended)
        expectSettled(end, told.get(end.response.field('x-sluice-request-id')) ?? {}, true);
    }
    expect(facts(gateway).length).toBe(before.facts + (managed ? ended.length : 0));
    await until('every socket to be closed', () => gateway.descriptors() < descriptors + OTHERS);
    await expectUnharmed(gateway);
  });
});

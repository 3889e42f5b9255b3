import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inLanes } from '../support/lanes.ts';
import { facts, token } from '../support/managed.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { Neighbour } from '../support/neighbour.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

const MIB = 1_048_576;
const TOKEN = token();
const OTHER = token({ tenantId: 43n });
const OWN = 'sk-own';

let siege: Siege;
let neighbour: Neighbour;

beforeAll(async () => {
  siege = await startSiege(
    async (turn) => {
      await turn.bodyDone();
      await turn.answer('{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1}}');
    },
    { config: 'verify_rate_limit_rps = 50' },
  );
  neighbour = new Neighbour(siege.gateway);
  await neighbour.served();
});
afterAll(async () => await siege.close());

async function ask(lines: string, target = CHAT) {
  const before = siege.upstream.requests.length;
  const client = new RawClient(siege.gateway.port).send(
    `POST ${target} HTTP/1.1\r\nHost: s\r\n${lines}Content-Length: 13\r\n\r\n{"model":"m"}`,
  );
  const response = await client.response();
  client.close();
  const reached = siege.upstream.requests.slice(before);
  // Wherever it was put, and whatever came of it: it went no further.
  expect(JSON.stringify(reached).toLowerCase()).not.toContain('bai_v');
  expect(decodeURIComponent(JSON.stringify(reached)).toLowerCase()).not.toContain('bai_v');
  return { response, reached };
}

/** Ways to hand in the one virtual key. */
const SWAPPED: readonly (readonly [what: string, lines: string, target: string])[] = [
  ['in capitals', `AUTHORIZATION: BEARER ${TOKEN}\r\n`, CHAT],
  ['with a lower-case scheme', `authorization: bearer ${TOKEN}\r\n`, CHAT],
  ['behind several spaces and tabs', `Authorization:\t  Bearer \t ${TOKEN} \t\r\n`, CHAT],
  ['without a scheme', `Authorization: ${TOKEN}\r\n`, CHAT],
  ['without a space before it', `Authorization:Bearer ${TOKEN}\r\n`, CHAT],
  ['twice in one place', `Authorization: Bearer ${TOKEN}\r\n`.repeat(2), CHAT],
  [
    'in every place',
    `Authorization: Bearer ${TOKEN}\r\nX-Api-Key: ${TOKEN}\r\nAPI-KEY: ${TOKEN}\r\nx-goog-api-key: ${TOKEN}\r\n`,
    `${CHAT}?key=${TOKEN}`,
  ],
  ['beside an own key', `Authorization: Bearer ${OWN}\r\nx-api-key: ${TOKEN}\r\n`, CHAT],
  ['behind an own key of the same name', `x-api-key: ${OWN}\r\nx-api-key: ${TOKEN}\r\n`, CHAT],
  ['in the query', '', `${CHAT}?key=${TOKEN}`],
  ['in a query whose name is escaped', '', `${CHAT}?%6b%65%79=${TOKEN}`],
  ['escaped in the query', '', `${CHAT}?a=1&key=${TOKEN.replace('bai', '%62%61i')}`],
  ['twice in the query', '', `${CHAT}?key=${TOKEN}&key=${TOKEN}`],
];

/** What looks like a virtual key and is none that verifies. */
const REFUSED: readonly (readonly [what: string, lines: string, target: string])[] = [
  ['two different ones', `Authorization: Bearer ${TOKEN}\r\nx-api-key: ${OTHER}\r\n`, CHAT],
  ['two in one value', `Authorization: Bearer ${TOKEN}, Bearer ${TOKEN}\r\n`, CHAT],
  ['one in a basic scheme', `Authorization: Basic ${TOKEN}\r\n`, CHAT],
  ['one in quotes', `Authorization: Bearer "${TOKEN}"\r\n`, CHAT],
  ['one with a comma behind it', `Authorization: Bearer ${TOKEN},\r\n`, CHAT],
  ['one with padding', `Authorization: Bearer ${TOKEN}=\r\n`, CHAT],
  ['one with a byte too many', `Authorization: Bearer ${TOKEN}A\r\n`, CHAT],
  ['one with a byte missing', `Authorization: Bearer ${TOKEN.slice(0, -1)}\r\n`, CHAT],
  ['one that is cut behind its kid', 'Authorization: Bearer bai_v1.7.\r\n', CHAT],
  ['one of another kid', `Authorization: Bearer ${TOKEN.replace('.7.', '.8.')}\r\n`, CHAT],
  [
    'one whose kid has zeros before it',
    `Authorization: Bearer ${TOKEN.replace('.7.', '.07.')}\r\n`,
    CHAT,
  ],
  [
    'one whose kid is 2^32 too large',
    `Authorization: Bearer ${TOKEN.replace('.7.', '.4294967303.')}\r\n`,
    CHAT,
  ],
  ['one of another version', `Authorization: Bearer ${TOKEN.replace('v1', 'v2')}\r\n`, CHAT],
  ['one in capitals', `Authorization: Bearer ${TOKEN.toUpperCase()}\r\n`, CHAT],
  ['one whose mark is in capitals', `x-api-key: ${mixed('BAI_V')}\r\n`, CHAT],
  ['one whose mark is in mixed case', `Authorization: ${mixed('bAi_V')}\r\n`, CHAT],
  ['one in capitals in the query', '', `${CHAT}?key=${mixed('BAI_V')}`],
  ['one of no version', `Authorization: Bearer ${TOKEN.replace('v1', 'v')}\r\n`, CHAT],
  ['one of 30 KiB', `Authorization: Bearer bai_v1.7.${'A'.repeat(30_000)}.x\r\n`, CHAT],
  ['one escaped twice in the query', '', `${CHAT}?key=${TOKEN.replace('.', '%252e')}`],
];

/** A virtual key for a reader who does not look at case. */
function mixed(mark: string): string {
  return TOKEN.replace('bai_v', mark);
}

const BESIDE = `Authorization: Bearer ${OWN}\r\n`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A virtual key that would leave with what is forwarded: every one stands beside a good key of the caller. */
const MISPLACED: readonly (readonly [what: string, lines: string, target: string])[] = [
  ['in a cookie', `${BESIDE}Cookie: a=1; session=${TOKEN}\r\n`, CHAT],
  ['in a field of its own', `${BESIDE}X-Virtual-Key: ${TOKEN}\r\n`, CHAT],
  ['in what the client says it is', `${BESIDE}User-Agent: app (${TOKEN})\r\n`, CHAT],
  ['where it came from', `${BESIDE}Referer: https://a.example/?key=${TOKEN}\r\n`, CHAT],
  ['in a key field, escaped', `${BESIDE}x-api-key: ${TOKEN.replace('b', '%62')}\r\n`, CHAT],
  ['in Basic credentials', `Authorization: Basic ${base64(TOKEN)}\r\nx-api-key: ${OWN}\r\n`, CHAT],
  ['as a password', `Authorization: Basic ${base64(`u:${TOKEN}`)}\r\nx-api-key: ${OWN}\r\n`, CHAT],
  ['for a proxy', `${BESIDE}Proxy-Authorization: Bearer ${TOKEN}\r\n`, CHAT],
  ['named by Connection', `${BESIDE}Connection: x-a\r\nX-A: ${TOKEN}\r\n`, CHAT],
  ['in a name space of ours', `${BESIDE}X-Sluice-Key: ${TOKEN}\r\n`, CHAT],
  ['behind another name', BESIDE, `${CHAT}?api_key=${TOKEN}`],
  ['behind the name in capitals', BESIDE, `${CHAT}?KEY=${TOKEN}`],
  ['in a list', BESIDE, `${CHAT}?key[]=${TOKEN}`],
  ['escaped behind another name', BESIDE, `${CHAT}?t=${TOKEN.replace('b', '%62')}`],
  ['escaped twice', BESIDE, `${CHAT}?key=${TOKEN.replace('b', '%2562')}`],
  ['as a name', BESIDE, `${CHAT}?${TOKEN}=1`],
  ['without a name', BESIDE, `${CHAT}?${TOKEN}`],
  ['in the path', BESIDE, `/v1/${TOKEN}/chat/completions`],
  ['in the path, escaped', BESIDE, `/v1/${TOKEN.replace('b', '%62')}`],
  ['as a provider', BESIDE, `/${TOKEN}/v1/chat/completions`],
  ['in capitals, in a cookie', `${BESIDE}Cookie: a=1; session=${mixed('BAI_V')}\r\n`, CHAT],
  ['in mixed case, in a field of its own', `${BESIDE}X-Virtual-Key: ${mixed('Bai_v')}\r\n`, CHAT],
  ['in mixed case, in a key field', `${BESIDE}x-api-key: ${mixed('%42ai_v')}\r\n`, CHAT],
  ['in capitals, behind another name', BESIDE, `${CHAT}?api_key=${mixed('BAI_V')}`],
  ['in capitals, in the path', BESIDE, `/v1/${mixed('BAI_V')}/chat/completions`],
  ['in capitals, in the path, escaped', BESIDE, `/v1/${mixed('%42%41%49%5F%56')}`],
  ['in capitals, escaped twice', BESIDE, `${CHAT}?t=${mixed('%2542AI_V')}`],
  ['in JSON escapes of capitals', `${BESIDE}X-Context: {"k":"${mixed('\\u0042AI_V')}"}\r\n`, CHAT],
  ...['BAI_V', 'Bai_V', 'bAI_v'].flatMap((mark) =>
    ['', 'u:', 'u1:'].map((before): readonly [string, string, string] => [
      `as ${mark} in Basic credentials behind "${before}"`,
      `Authorization: Basic ${base64(before + mixed(mark))}\r\nx-api-key: ${OWN}\r\n`,
      CHAT,
    ]),
  ),
  ['beside itself in its place', `Authorization: Bearer ${TOKEN}\r\nCookie: k=${TOKEN}\r\n`, CHAT],
];

/** What is no key at all. */
const KEYLESS: readonly (readonly [what: string, lines: string, target: string])[] = [
  ['a key in a cookie', `Cookie: authorization=${OWN}\r\n`, CHAT],
  ['a key for a proxy', `Proxy-Authorization: Bearer ${OWN}\r\n`, CHAT],
  ['a scheme of its own', `Authorization: Basic ${Buffer.from(OWN).toString('base64')}\r\n`, CHAT],
  ['a scheme alone', 'Authorization: Bearer\r\n', CHAT],
  ['white space', 'Authorization: Bearer \t \r\nx-api-key:  \r\n', CHAT],
  ['a parameter in capitals', '', `${CHAT}?KEY=${OWN}`],
  ['a parameter in brackets', '', `${CHAT}?key[]=${OWN}`],
  ['a parameter escaped twice', '', `${CHAT}?k%2565y=${OWN}`],
  ['an empty parameter', '', `${CHAT}?key=&key`],
];

describe('a virtual key', () => {
  it.each(SWAPPED)('%s is swapped once, and goes no further', async (_what, lines, target) => {
    const { response, reached } = await ask(lines, target);
    expect(response.status).toBe(200);
    const keys = reached.map(({ fields }) => fields.filter(([, value]) => value.includes('sk-')));
    expect(keys).toEqual([[['authorization', 'Bearer sk-pool-openai']]]);
    expect(reached[0]?.target.includes('key')).toBe(false);
  });

  it.each(REFUSED)('that is %s is a bad key and goes nowhere', async (_what, lines, target) => {
    const { response, reached } = await ask(lines, target);
    expect(response.status).toBe(401);
    expect(response.json()).toMatchObject({ error: { code: 'bad_key' } });
    expect(reached).toEqual([]);
  });
});

it.each(MISPLACED)('a virtual key %s is refused, not forwarded', async (_what, lines, target) => {
  const { response, reached } = await ask(lines, target);
  expect(response.status).toBe(401);
  expect(response.json()).toMatchObject({ error: { code: 'bad_key' } });
  expect(response.body.toString()).not.toContain('bai_v');
  expect(reached).toEqual([]);
  const id = response.field('x-sluice-request-id');
  // What is logged passes the eyes of support/secrets.ts.
  const line = await siege.gateway.waitForLog(({ request_id }) => request_id === id);
  expect(line).toMatchObject({ rejection: 'bad_key', failure: 'misplaced' });
});

it.each(KEYLESS)('%s is no key, and the request goes nowhere', async (_what, lines, target) => {
  const { response, reached } = await ask(lines, target);
  expect(response.status).toBe(401);
  expect(response.json()).toMatchObject({ error: { code: 'missing_key' } });
  expect(reached).toEqual([]);
});

/** Every kind of forgery in turn, no two alike. */
function forgery(n: number): string {
  const signature = randomBytes(64).toString('base64url');
  const [version, kid] = TOKEN.split('.');
  const payload = randomBytes(16).toString('base64url');
  const kinds = [
    `${version}.${kid}.${payload}.${signature}`,
    `${version}.${n + 8}.${payload}.${signature}`,
    `bai_v2.${kid}.${randomBytes(24).toString('base64url')}.${signature}`,
    `bai_v9.${signature}`,
    `${version}.${kid}.${randomBytes(3_000).toString('base64url')}.${signature}`,
  ];
  return kinds[n % kinds.length] ?? '';
}

it('a flood of 5,000 forged keys of every kind bills nobody and keeps no memory', async () => {
  const before = facts(siege.gateway).filter((fact) => fact['provider'] === 'openai').length;
  const reached = siege.upstream.requests.length;
  const memory = new MemoryWatch(siege.gateway);
  const flood = Array.from({ length: 5_000 }, (_, n) => n);
  const statuses = new Map<number, number>();
  const connection = () => new RawClient(siege.gateway.port);
  await inLanes(flood, 16, connection, async (n, client) => {
    const { status } = await client.send(post(forgery(n))).response();
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  });
  expect([...statuses.keys()].every((status) => status === 401 || status === 429)).toBe(true);
  expect(memory.stop()).toBeLessThan(48 * MIB);
  expect(siege.upstream.requests.length).toBe(reached);
  expect(facts(siege.gateway).filter((fact) => fact['provider'] === 'openai').length).toBe(before);
});

it('a neighbour of all that has its stream and its answers whole', async () => {
  await neighbour.expectWhole();
  await expectUnharmed(siege.gateway);
});

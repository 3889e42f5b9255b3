import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { JudgedRun, Judgement } from '../../../../src/guard/guard.ts';
import {
  AnalyzerJudge,
  type AnalyzerSettings,
  entitiesOf,
} from '../../../../src/guard/judges/analyzer-judge.ts';
import { unitOffsets } from '../../../../src/guard/judges/code-points.ts';
import { ANSWER_MAX_BYTES, WAITING_MAX } from '../../../../src/guard/judges/http-client.ts';
import {
  ModerationJudge,
  type ModerationSettings,
  objectionsOf,
} from '../../../../src/guard/judges/moderation-judge.ts';
import {
  BATCH_MAX_UNITS,
  BATCHES_MAX,
  textBatches,
} from '../../../../src/guard/judges/text-batches.ts';
import { Secret } from '../../../../src/secret.ts';
import { Deadlines } from '../../../../src/ticker.ts';
import { until } from '../../../support/conditions.ts';
import {
  type AskedServer,
  JudgingServer,
  json,
  presidioFinds,
} from '../../../support/judging-server.ts';

const deadlines = new Deadlines(5);
const LONG_MS = 20_000;
const context = { tenant: '7', model: 'chat', requestId: 'r', guard: 'test' };
const never = new AbortController().signal;
const servers: JudgingServer[] = [];
const failures: string[] = [];
const report = { failed: (guard: string, why: string) => failures.push(`${guard} ${why}`) };

afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
  failures.splice(0);
});

async function serverOf(
  answer: (asked: AskedServer, response: ServerResponse, count: number) => void,
): Promise<JudgingServer> {
  const server = await JudgingServer.start(answer);
  servers.push(server);
  return server;
}

const textsOf = (...texts: readonly string[]): readonly JudgedRun[] =>
  texts.map((text) => ({ kind: 'prompt', text }));

function analyzer(url: string, settings: Partial<AnalyzerSettings> = {}): AnalyzerJudge {
  return new AnalyzerJudge(
    {
      name: 'presidio',
      url: `${url}/analyze`,
      timeoutMs: LONG_MS,
      maxInFlight: 4,
      apiKey: null,
      action: 'redact',
      language: 'en',
      entities: [],
      minScore: 0,
      ...settings,
    },
    deadlines,
    report,
  );
}

function moderation(url: string, settings: Partial<ModerationSettings> = {}): ModerationJudge {
  return new ModerationJudge(
    {
      name: 'moderation',
      url: `${url}/v1/moderations`,
      timeoutMs: LONG_MS,
      maxInFlight: 4,
      apiKey: null,
      action: 'block',
      model: '',
      categories: [],
      ...settings,
    },
    deadlines,
    report,
  );
}

/** Finds these words. */
const finding =
  (words: Readonly<Record<string, string>>) => (asked: AskedServer, response: ServerResponse) =>
    json(response, presidioFinds(String(Reflect.get(JSON.parse(asked.body), 'text')), words));

const judged = (
  judge: AnalyzerJudge | ModerationJudge,
  ...texts: readonly string[]
): Promise<Judgement> => judge.judge('request', textsOf(...texts), context, never);

describe('AnalyzerJudge', () => {
  it('takes out what is found, in the text in which it stands, behind characters of any width', async () => {
    const server = await serverOf(
      finding({ 'Ada Löwe': 'PERSON', 'ada@x.example': 'EMAIL_ADDRESS' }),
    );
    const said = await judged(
      analyzer(server.url),
      '😀 Ada Löwe 𝒳 wrote ada@x.example.',
      'nothing here',
      'ada@x.example',
    );
    expect(said).toEqual({
      verdict: 'replace',
      texts: ['😀 [PERSON] 𝒳 wrote [EMAIL_ADDRESS].', null, '[EMAIL_ADDRESS]'],
    });
    // All of them with one request.
    expect(server.asked).toHaveLength(1);
  });

  it('asks as Presidio wants to be asked, with its key', async () => {
    const server = await serverOf(finding({}));
    const judge = analyzer(server.url, {
      language: 'de',
      entities: ['PERSON'],
      minScore: 0.4,
      apiKey: new Secret('key-of-the-analyzer'),
    });
    expect(await judged(judge, 'a')).toEqual({ verdict: 'keep' });
    expect(
      server.asked.map(({ body, ...asked }) => ({ ...asked, body: JSON.parse(body) })),
    ).toEqual([
      {
        path: '/analyze',
        authorization: 'Bearer key-of-the-analyzer',
        body: { text: 'a', language: 'de', entities: ['PERSON'], score_threshold: 0.4 },
      },
    ]);
  });

  it.each([
    ['block', { verdict: 'block', why: 'it holds PERSON', what: ['PERSON'] }],
    ['flag', { verdict: 'flag', what: ['PERSON'] }],
  ] as const)('can %s what is found', async (action, said) => {
    const server = await serverOf(finding({ Ada: 'PERSON' }));
    expect(await judged(analyzer(server.url, { action }), 'Ada', 'Ada')).toEqual(said);
  });

  it('passes over what it is not sure of', async () => {
    const server = await serverOf(finding({ Ada: 'PERSON' }));
    expect(await judged(analyzer(server.url, { minScore: 0.9 }), 'Ada')).toEqual({
      verdict: 'keep',
    });
  });

  it('finds what a plain search finds, in any text and behind any other', async () => {
    const server = await serverOf(finding({ '😀b': 'X' }));
    const judge = analyzer(server.url);
    const text = fc.string({
      unit: fc.constantFrom('😀', 'b', 'ä', '\ud83d', ' ', '"'),
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 4 }), async (texts) => {
        const replaced = texts.map((one) => one.replaceAll('😀b', '[X]'));
        const isSame = replaced.every((one, at) => one === texts[at]);
        const expected = isSame
          ? { verdict: 'keep' }
          : {
              verdict: 'replace',
              texts: replaced.map((one, at) => (one === texts[at] ? null : one)),
            };
        expect(await judged(judge, ...texts)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['500', (_: AskedServer, response: ServerResponse) => json(response, {}, 500), 'status'],
    [
      'a redirect',
      (_: AskedServer, response: ServerResponse) =>
        response.writeHead(302, { location: '/elsewhere' }).end(),
      'status',
    ],
    ['no JSON', (_: AskedServer, response: ServerResponse) => response.end('<html>'), 'nonsense'],
    [
      'another shape',
      (_: AskedServer, response: ServerResponse) => json(response, { found: [] }),
      'nonsense',
    ],
    [
      'places beyond the text',
      (_: AskedServer, response: ServerResponse) =>
        json(response, [{ start: 0, end: 99, entity_type: 'PERSON', score: 1 }]),
      'nonsense',
    ],
    [
      'a kind that is a text',
      (_: AskedServer, response: ServerResponse) =>
        json(response, [{ start: 0, end: 1, entity_type: 'Ada Lovelace', score: 1 }]),
      'nonsense',
    ],
    [
      'more than it may',
      (_: AskedServer, response: ServerResponse) =>
        response.end(`[${' '.repeat(2 * ANSWER_MAX_BYTES)}]`),
      'nonsense',
    ],
    [
      'half an answer',
      (_: AskedServer, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('[');
        setTimeout(() => response.destroy(), 20);
      },
      'unreachable',
    ],
    ['a reset', (_: AskedServer, response: ServerResponse) => response.destroy(), 'unreachable'],
  ] as const)('has no verdict of a server that answers %s', async (_, answer, why) => {
    const server = await serverOf(answer);
    expect(await judged(analyzer(server.url), 'Ada')).toEqual({ verdict: 'failed', why });
    expect(failures).toEqual([`presidio ${why}`]);
  });

  it.each([
    ['before its head', () => {}],
    [
      'within its content',
      (_: AskedServer, response: ServerResponse) => {
        response.writeHead(200);
        response.write('[');
      },
    ],
  ] as const)('waits for a server that falls silent %s no longer than its limit', async (_, answer) => {
    const server = await serverOf(answer);
    const said = await judged(analyzer(server.url, { timeoutMs: 100 }), 'Ada');
    expect(said).toEqual({ verdict: 'failed', why: 'late' });
    await until('its connection is given up', () => server.open === 0);
  });

  it('has no verdict where nobody listens', async () => {
    const server = await serverOf(finding({}));
    const { url } = server;
    server.stop();
    expect(await judged(analyzer(url), 'Ada')).toEqual({
      verdict: 'failed',
      why: 'unreachable',
    });
  });

  it('leaves a server alone that fails time and again, and asks it anew when it has rested', async () => {
    const server = await serverOf((_, response) => json(response, {}, 503));
    const judge = analyzer(server.url);
    const why: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      const said = await judged(judge, 'Ada');
      why.push(said.verdict === 'failed' ? said.why : said.verdict);
    }
    expect(why).toEqual(['status', 'status', 'status', 'status', 'status', 'resting', 'resting']);
    expect(server.asked).toHaveLength(5);
    server.answer = finding({ Ada: 'PERSON' });
    const said = await until('it is asked again', async () => {
      const one = await judged(judge, 'Ada');
      return one.verdict === 'failed' ? null : one;
    });
    expect(said).toEqual({ verdict: 'replace', texts: ['[PERSON]'] });
  });

  it('asks no more at once than it may, and turns away what is too much', async () => {
    const open: ServerResponse[] = [];
    const server = await serverOf((_, response) => open.push(response));
    const judge = analyzer(server.url, { maxInFlight: 3 });
    const all = Array.from({ length: 3 + WAITING_MAX + 1 }, () => judged(judge, 'Ada'));
    expect(await all.pop()).toEqual({ verdict: 'failed', why: 'busy' });
    await until('as many as may be are asked', () => open.length === 3);
    server.answer = finding({});
    for (const response of open) json(response, []);
    expect(new Set((await Promise.all(all)).map(({ verdict }) => verdict))).toEqual(
      new Set(['keep']),
    );
    expect(server.mostOpen).toBe(3);
  });

  it('gives up what nobody waits for, and does not hold it against the server', async () => {
    const server = await serverOf(() => {});
    const judge = analyzer(server.url);
    for (let i = 0; i < 6; i++) {
      const leaver = new AbortController();
      const asked = judge.judge('request', textsOf('Ada'), context, leaver.signal);
      await until('it is asked', () => server.asked.length === i + 1);
      leaver.abort();
      expect(await asked).toEqual({ verdict: 'failed', why: 'left' });
    }
  });
});

describe('ModerationJudge', () => {
  const flagging =
    (word: string, categories: Readonly<Record<string, boolean>>) =>
    (asked: AskedServer, response: ServerResponse) => {
      const { input } = JSON.parse(asked.body) as { input: readonly string[] };
      const results = input.map((text) => ({
        flagged: text.includes(word),
        categories: text.includes(word) ? categories : {},
        category_scores: {},
      }));
      json(response, { id: 'modr-1', model: 'omni-moderation-latest', results });
    };

  it('refuses what is flagged, by the names of the categories', async () => {
    const server = await serverOf(
      flagging('bad', { violence: true, 'hate/threatening': true, sexual: false }),
    );
    const judge = moderation(server.url, {
      model: 'omni-moderation-latest',
      apiKey: new Secret('sk-m'),
    });
    expect(await judged(judge, 'good')).toEqual({ verdict: 'keep' });
    expect(await judged(judge, 'good', 'a bad one')).toEqual({
      verdict: 'block',
      why: 'it was flagged for hate/threatening, violence',
      what: ['hate/threatening', 'violence'],
    });
    expect(server.asked[1]).toEqual({
      path: '/v1/moderations',
      authorization: 'Bearer sk-m',
      body: JSON.stringify({ input: ['good', 'a bad one'], model: 'omni-moderation-latest' }),
    });
  });

  it('can say so only, and of some categories only', async () => {
    const server = await serverOf(flagging('bad', { violence: true, sexual: true }));
    const flag = moderation(server.url, { action: 'flag', categories: ['violence', 'self-harm'] });
    expect(await judged(flag, 'bad')).toEqual({ verdict: 'flag', what: ['violence'] });
    const other = moderation(server.url, { categories: ['self-harm'] });
    expect(await judged(other, 'bad')).toEqual({ verdict: 'keep' });
  });

  it.each([
    [null],
    [{ results: {} }],
    [{ results: [] }],
    [{ results: [{ flagged: 'no', categories: {} }] }],
    [{ results: [{ flagged: true }] }],
    [{ results: [{ flagged: true, categories: { 'a text, it may be': true } }] }],
  ])('has no verdict of %j', (value) => {
    expect(objectionsOf(value, 1, [])).toBeNull();
  });
});

describe('textBatches', () => {
  it('puts every text into one batch, in order, each as full as it may be', () => {
    const run = fc.integer({ min: 0, max: BATCH_MAX_UNITS }).map((length) => 'x'.repeat(length));
    fc.assert(
      fc.property(fc.array(run, { maxLength: 12 }), (texts) => {
        const batches = textBatches(textsOf(...texts)) ?? [];
        const units = batches.map((batch) =>
          batch.reduce((sum, at) => sum + (texts[at]?.length ?? 0), 0),
        );
        expect(batches.flat()).toEqual([...texts.keys()].filter((at) => texts[at] !== ''));
        expect(Math.max(0, ...units)).toBeLessThanOrEqual(BATCH_MAX_UNITS);
        // What begins a batch has no room in the one before.
        for (const [i, batch] of batches.slice(1).entries())
          expect((units[i] ?? 0) + (texts[batch[0] ?? 0]?.length ?? 0)).toBeGreaterThan(
            BATCH_MAX_UNITS,
          );
      }),
      { numRuns: 30 },
    );
  });

  it('cuts no text, and does not go on without end', () => {
    const whole = 'x'.repeat(BATCH_MAX_UNITS);
    expect(textBatches(textsOf(`${whole}x`))).toBeNull();
    expect(textBatches(textsOf(...Array.from({ length: BATCHES_MAX }, () => whole)))).toHaveLength(
      BATCHES_MAX,
    );
    expect(
      textBatches(textsOf(...Array.from({ length: BATCHES_MAX + 1 }, () => whole))),
    ).toBeNull();
  });
});

describe('unitOffsets', () => {
  it('counts as a language does that has code points', () => {
    const unit = fc.constantFrom('a', 'ä', '😀', '\ud83d', '\ude00');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 20 }), (text) => {
        const points = [...text];
        const expected = points.map((_, at) => points.slice(0, at).join('').length);
        expect(unitOffsets(text, [...points.keys(), points.length, points.length + 1])).toEqual([
          ...expected,
          text.length,
          null,
        ]);
      }),
    );
  });
});

describe('entitiesOf', () => {
  it('makes one of two that overlap, by the name of the surer one', () => {
    const found = entitiesOf(
      [
        { start: 3, end: 6, entity_type: 'URL', score: 0.5 },
        { start: 0, end: 4, entity_type: 'EMAIL_ADDRESS', score: 1 },
        { start: 6, end: 7, entity_type: 'X', score: 0.1 },
      ],
      'abcdefgh',
      0,
    );
    expect(found).toMatchObject([
      { from: 0, to: 6, what: 'EMAIL_ADDRESS' },
      { from: 6, to: 7, what: 'X' },
    ]);
  });
});

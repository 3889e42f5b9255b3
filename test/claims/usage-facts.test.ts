import { gzipSync } from 'node:zlib';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { sha256 } from '../support/fixtures.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { factOf, facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

const TOKEN = token();
const TEXT = 'The quick brown fox jumps over the lazy dog. ';
const delta = (text: string): string =>
  `data: {"id":"c","model":"gpt-served","choices":[{"index":0,"delta":{"content":"${text}"}}],"usage":null}\n\n`;
const USAGE = '{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}';
const REPORT = `data: {"id":"c","model":"gpt-served","choices":[],"usage":${USAGE}}\n\n`;
const DONE = 'data: [DONE]\n\n';
const JSON_TYPE = 'content-type: application/json\r\n';
const EVENTS_TYPE = 'content-type: text/event-stream\r\n';
const PROMPT = 'What did the river say to the stone? '.repeat(40);
const BODY = JSON.stringify({
  model: 'gpt-asked',
  stream: true,
  messages: [{ role: 'user', content: PROMPT }],
});

/** The last segment of the query says how the provider behaves. */
const ACTS: Readonly<Record<string, (turn: Turn) => Promise<void>>> = {
  whole: (turn) => turn.answer(`{"model":"gpt-served","choices":[],"usage":${USAGE}}`),
  'no-usage': (turn) =>
    turn.answer('{"model":"gpt-served","choices":[{"message":{"content":"hi"}}]}'),
  stream: async (turn) => {
    await turn.stream();
    await turn.chunk(delta(TEXT) + REPORT + DONE);
    await turn.lastChunk();
  },
  endless: async (turn) => {
    await turn.stream();
    for (let i = 0; i < 5; i++) await turn.chunk(delta(TEXT));
  },
  'after-done': async (turn) => {
    await turn.stream();
    await turn.chunk(delta(TEXT) + REPORT + DONE);
  },
  cut: async (turn) => {
    await turn.stream();
    for (let i = 0; i < 5; i++) await turn.chunk(delta(TEXT));
    turn.socket.end();
  },
  'cut-in-report': async (turn) => {
    await turn.stream();
    await turn.chunk(delta(TEXT) + REPORT.slice(0, -20));
    turn.socket.end();
  },
  error: (turn) =>
    turn.write(
      'HTTP/1.1 429 No\r\ncontent-type: application/json\r\ncontent-length: 29\r\n\r\n{"error":{"message":"later"}}',
    ),
  reset: async (turn) => turn.reset(),
  silent: async () => {},
  'error-inside': async (turn) => {
    await turn.stream();
    await turn.chunk(
      'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n',
    );
    await turn.chunk(
      `${delta(TEXT)}${delta(TEXT)}data: {"type":"error","error":{"type":"overloaded_error"}}\n\n`,
    );
    await turn.lastChunk();
  },
  opening: async (turn) => {
    await turn.stream();
    await turn.chunk(
      'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n',
    );
    for (let i = 0; i < 20; i++) await turn.chunk(delta(TEXT));
    await turn.lastChunk();
  },
  split: async (turn) => {
    await turn.stream();
    for (let i = 0; i < 20; i++) {
      await turn.chunk(delta(TEXT).slice(0, -1));
      await turn.chunk('\n');
    }
    turn.socket.end();
  },
  odd: (turn) =>
    turn.answer('{"model":"m","usage":{"prompt_tokens":1.5,"completion_tokens":1e300}}'),
  'error-with-usage': async (turn) => {
    await turn.stream();
    await turn.chunk(
      `${delta(TEXT)}data: {"choices":[],"error":{"code":502},"usage":${USAGE}}\n\n`,
    );
    await turn.lastChunk();
  },
  'sent-sized': (turn) => turn.answer(sent.body, [`content-type: ${sent.type}`]),
  'sent-chunked': async (turn) => {
    await turn.write(
      `HTTP/1.1 200 OK\r\ncontent-type: ${sent.type}\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const bytes = Buffer.from(sent.body);
    for (const at of [0, 1, 2, 3, 9])
      await turn.chunk(bytes.subarray(at, at === 9 ? undefined : at + (at === 3 ? 6 : 1)));
    await turn.lastChunk();
  },
  // ---- a 200 that bills nothing
  'error-json': (turn) => turn.answer('{"error":{"message":"Provider returned error","code":502}}'),
  'error-word': (turn) => turn.answer('{"error":"overloaded"}'),
  'error-object': (turn) => turn.answer('{"object":"error","message":"no","code":400}'),
  'error-in-array': (turn) => turn.answer('[{"error":{"code":429}}]'),
  'error-first': async (turn) => {
    await turn.stream();
    await turn.chunk(`data: {"error":{"message":"Rate limited","code":429}}\n\n${DONE}`);
    await turn.lastChunk();
  },
  'error-named': async (turn) => {
    await turn.stream();
    await turn.chunk(': waiting\n\nevent:error\ndata: {"message":"no"}\n\n');
    await turn.lastChunk();
  },
  'error-behind-role': async (turn) => {
    await turn.stream();
    await turn.chunk('data: {"model":"m","choices":[{"delta":{"role":"assistant"}}]}\n\n');
    await turn.chunk('data: {"error":{"code":502}}\n\n');
    await turn.lastChunk();
  },
  'error-under-events': (turn) =>
    turn.answer(' \n{"error":{"code":500}}', ['content-type: text/event-stream']),
  page: (turn) => turn.answer('<html>sign in</html>', ['content-type: text/html']),
  'page-as-json': (turn) => turn.answer('\n<!DOCTYPE html><p>"content":"x"</p>'),
  words: (turn) => turn.answer('upstream connect error', ['content-type: text/plain']),
  empty: (turn) => turn.answer(''),
  'empty-stream': async (turn) => {
    await turn.stream();
    await turn.lastChunk();
  },
  comments: async (turn) => {
    await turn.stream();
    await turn.chunk(`: processing\n\n${DONE}`);
    await turn.lastChunk();
  },
  detail: (turn) => turn.answer('{"detail":"Not authenticated"}'),
  'detail-in-list': (turn) => turn.answer('{"detail":[{"loc":["body"],"msg":"field required"}]}'),
  'detail-in-pieces': async (turn) => {
    await turn.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}transfer-encoding: chunked\r\n\r\n`);
    for (const piece of ['{"det', 'ail":"no', '"}']) await turn.chunk(piece);
    await turn.lastChunk();
  },
  problem: (turn) => turn.answer('{"type":"about:blank","title":"Bad gateway","status":502}'),
  'code-and-message': (turn) => turn.answer('{"code":1301,"message":"overloaded","success":false}'),
  'error-code': (turn) => turn.answer('{"error_code":110,"error_msg":"no token","id":"1"}'),
  'base-resp': (turn) =>
    turn.answer('{"choices":null,"base_resp":{"status_code":1004,"status_msg":"no"}}'),
  'empty-object': (turn) => turn.answer('{}'),
  null: (turn) => turn.answer('null'),
  'closed-error': (turn) => closing(turn, JSON_TYPE, '{"error":{"code":502}}'),
  'closed-detail': (turn) => closing(turn, JSON_TYPE, '{"detail":"no"}'),
  'closed-done': (turn) => closing(turn, EVENTS_TYPE, `: processing\n\n${DONE}`),
  // ---- a 200 that may be billed, although it says nothing of it
  unknown: (turn) => turn.answer('{"result":{"said":"hello"}}'),
  'no-errors': (turn) =>
    turn.answer('{"result":{"said":"hello"},"success":true,"errors":[],"messages":[]}'),
  'base-resp-well': (turn) =>
    turn.answer('{"reply":"hello","base_resp":{"status_code":0,"status_msg":"success"}}'),
  'content-beside-message': (turn) => turn.answer('{"message":"ok","output":[1,2,3]}'),
  'closed-empty': (turn) => closing(turn, JSON_TYPE, ''),
  'closed-in-name': (turn) => closing(turn, JSON_TYPE, '{"mod'),
  'closed-in-error': (turn) => closing(turn, JSON_TYPE, '{"error":{"mess'),
  'closed-comments': (turn) => closing(turn, EVENTS_TYPE, ': processing\n\n'),
  'closed-words': (turn) => closing(turn, 'content-type: text/plain\r\n', 'upstream '),
  gzip: (turn) =>
    turn.answer(gzipSync(`{"model":"gpt-served","usage":${USAGE}}`), [
      'content-type: application/json',
      'content-encoding: gzip',
    ]),
  large: (turn) =>
    turn.answer(
      `{"model":"gpt-served","usage":{"prompt_tokens":1,"completion_tokens":2,"note":"${'x'.repeat(5_000)}"}}`,
    ),
};

/** A content that ends with its connection. */
async function closing(turn: Turn, type: string, content: string): Promise<void> {
  await turn.write(`HTTP/1.1 200 OK\r\n${type}\r\n${content}`);
  turn.socket.end();
}

let sent = { body: '', type: '' };

let gateway: Gateway;
let upstream: ScriptedUpstream;
let mock: RunningMock;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    const [, act = ''] = /[?&]act=([a-z-]+)/.exec(turn.request.target) ?? [];
    await turn.bodyDone();
    await (ACTS[act] ?? ACTS['whole'])?.(turn);
  });
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  gateway = await startGateway({
    config:
      'workers = 1\nfirst_byte_timeout_secs = 2\nmax_request_body_bytes = 100000\n' +
      authorities({ openai: upstream.port, anthropic: mock.port, cerebras: mock.port, xai: 9 }) +
      poolKeys({ openai: 'sk-pool', anthropic: 'ant-pool', cerebras: 'cs-pool', xai: 'x-pool' }) +
      signingKeys(),
  });
});
afterAll(async () => {
  expect(gateway.stderr).toBe('');
  await gateway.stop();
  await upstream.close();
  await mock.close();
});

const request = (target: string, body = BODY, key = TOKEN): string =>
  `POST ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

async function exchange(bytes: string): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(bytes);
  const response = await client.response();
  client.close();
  return response;
}

async function chat(
  act: string,
  body = BODY,
  key = TOKEN,
): Promise<{ response: RawResponse; fact: LogLine }> {
  const response = await exchange(request(`/v1/chat/completions?act=${act}`, body, key));
  return { response, fact: await factOf(gateway, response.field('x-sluice-request-id')) };
}

/** The fact of the one exchange that `work` makes and that tells no request id. */
async function factOfNext(work: () => Promise<void>): Promise<LogLine> {
  const before = facts(gateway).length;
  await work();
  return await until('one more fact', () => facts(gateway)[before]);
}

const ESTIMATE = { usage_source: 'estimated', usage_raw: null };

describe('a usage fact', () => {
  it('has every field of the contract, and the request id of the response', async () => {
    const before = Date.now();
    const { response, fact } = await chat('stream');
    expect(fact).toMatchObject({
      event: 'ai.usage',
      v: 1,
      request_id: response.field('x-sluice-request-id'),
      dialect: 'openai',
      tenant_id: '42',
      vpc_id: '99',
      key_id: null,
      provider: 'openai',
      endpoint: '/v1/chat/completions',
      model: 'gpt-served',
      requested_model: 'gpt-asked',
      stream: true,
      input_tokens: 11,
      output_tokens: 7,
      cache_read_tokens: null,
      cache_write_tokens: null,
      reasoning_tokens: null,
      usage_source: 'reported',
      usage_raw: JSON.parse(USAGE),
      upstream_status: 200,
      outcome: 'complete',
      bytes_in: BODY.length,
      bytes_out: response.body.length,
    });
    const { time, ttfb_ms: ttfb, duration_ms: duration, node } = fact;
    expect(String(time)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Date.parse(String(time))).toBeGreaterThanOrEqual(before - 1);
    expect(Number(duration)).toBeGreaterThanOrEqual(Number(ttfb));
    expect(String(node)).toMatch(new RegExp(`:${gateway.child.pid}$`));
  });

  it('tells ids beyond 2^53 digit by digit, and the key of a bai_v2 token', async () => {
    const key = token({ tenantId: 18446744073709551615n, vpcId: 9007199254740993n, keyId: 5n });
    const { fact } = await chat('whole', BODY, key);
    expect(fact).toMatchObject({
      tenant_id: '18446744073709551615',
      vpc_id: '9007199254740993',
      key_id: '5',
      key_class: 'application',
    });
  });

  it('tells the class that a bai_v3 token was minted with', async () => {
    for (const keyClass of ['developer', 'application', 'agent'] as const) {
      const { fact } = await chat('whole', BODY, token({ keyId: 6n, keyClass }));
      expect(fact).toMatchObject({ key_id: '6', key_class: keyClass });
    }
  });

  it('keeps no more than 4 KiB of what the provider said, and still counts it', async () => {
    const { fact } = await chat('large');
    expect(fact).toMatchObject({ input_tokens: 1, output_tokens: 2, usage_raw: null });
  });
});

describe('an estimate, flagged and never zero', () => {
  it('when a 2xx had no usage', async () => {
    const { fact } = await chat('no-usage');
    expect(fact).toMatchObject({ ...ESTIMATE, outcome: 'complete', model: 'gpt-served' });
    expect(fact['input_tokens']).toBeGreaterThan(0);
    expect(fact['output_tokens']).toBeGreaterThan(0);
  });

  it('from the whole of a long prompt, and from no byte of a picture', async () => {
    const ask = (content: unknown): string =>
      JSON.stringify({ model: 'gpt-asked', stream: true, messages: [{ role: 'user', content }] });
    const text = ask(PROMPT.repeat(60));
    const picture = Buffer.alloc(60_000, 'pixel').toString('base64');
    const image = ask([
      { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
    ]);
    expect((await chat('cut', text)).fact).toMatchObject({
      ...ESTIMATE,
      input_tokens: Math.floor((text.length - 512) / 8),
    });
    const { fact } = await chat('cut', image);
    expect(fact).toMatchObject(ESTIMATE);
    expect(Number(fact['input_tokens'])).toBeLessThan(100);
  });

  it('when the upstream died in the stream: from what was relayed, and below it', async () => {
    const { response, fact } = await chat('cut');
    expect(response.complete).toBe(false);
    expect(response.body.toString()).toContain('"error"');
    expect(fact).toMatchObject({ ...ESTIMATE, outcome: 'upstream_cut', upstream_status: 200 });
    // Five times ten words; the prompt has 360.
    expect(fact['output_tokens']).toBeGreaterThan(20);
    expect(fact['output_tokens']).toBeLessThanOrEqual(50);
    expect(fact['input_tokens']).toBeGreaterThan(60);
    expect(fact['input_tokens']).toBeLessThanOrEqual(360);
  });

  it('when it died inside the very event that reports, which was being held back', async () => {
    const { response, fact } = await chat('cut-in-report');
    expect(response.complete).toBe(false);
    expect(response.body.toString()).toContain(TEXT);
    expect(fact).toMatchObject({ usage_source: 'estimated', outcome: 'upstream_cut' });
  });

  it('when an error inside of a 200 broke the stream off, although it had begun to report', async () => {
    const { response, fact } = await chat('error-inside');
    expect(response.complete).toBe(true);
    expect(fact).toMatchObject({ usage_source: 'estimated', input_tokens: 9, outcome: 'complete' });
    expect(fact['output_tokens']).toBeGreaterThan(5);
  });

  it('when a stream ended well behind its opening, whose count is not what it came to', async () => {
    const { response, fact } = await chat('opening');
    expect(response.complete).toBe(true);
    expect(fact).toMatchObject({ usage_source: 'estimated', input_tokens: 9, outcome: 'complete' });
    expect(fact['output_tokens']).toBeGreaterThan(50);
  });

  it('from every event, also where reads cut all of them', async () => {
    const { fact } = await chat('split');
    expect(fact).toMatchObject({ ...ESTIMATE, outcome: 'upstream_cut' });
    expect(fact['output_tokens']).toBeGreaterThan(50);
    expect(fact['output_tokens']).toBeLessThanOrEqual(200);
  });

  it('when what the provider counted are no counts', async () => {
    const { fact } = await chat('odd');
    expect(fact).toMatchObject({ usage_source: 'estimated' });
    expect(Number.isSafeInteger(fact['output_tokens'])).toBe(true);
  });

  it('when the provider took the request and reset the connection', async () => {
    const fact = await factOfNext(async () => {
      expect((await exchange(request('/v1/chat/completions?act=reset'))).status).toBe(502);
    });
    expect(fact).toMatchObject({
      ...ESTIMATE,
      outcome: 'upstream_error',
      upstream_status: null,
      output_tokens: 0,
    });
    expect(fact['input_tokens']).toBeGreaterThan(0);
  });

  it('when the provider did not answer in time', async () => {
    const { response, fact } = await chat('silent');
    expect(response.status).toBe(504);
    expect(fact).toMatchObject({ ...ESTIMATE, outcome: 'timeout', upstream_status: null });
  });

  it('when the provider compressed although it was asked not to: the body passes untouched', async () => {
    const { response, fact } = await chat('gzip');
    expect(response.field('content-encoding')).toBe('gzip');
    expect(response.body.equals(gzipSync(`{"model":"gpt-served","usage":${USAGE}}`))).toBe(true);
    expect(fact).toMatchObject({ ...ESTIMATE, model: null, outcome: 'complete' });
    expect(fact['input_tokens']).toBeGreaterThan(0);
  });

  it('for each of a hundred clients that left in the middle, once', async () => {
    const before = facts(gateway).length;
    const clients = Array.from({ length: 100 }, () =>
      new RawClient(gateway.port).send(request('/v1/chat/completions?act=endless')),
    );
    for (const client of clients) {
      await until('the stream at the client', () => client.receivedBytes > 4 * TEXT.length);
      client.close();
    }
    await gateway.idle();
    const mine = await until('a hundred facts', () => {
      const list = facts(gateway).slice(before);
      return list.length >= 100 && list;
    });
    expect(mine).toHaveLength(100);
    expect(new Set(mine.map((fact) => fact['request_id'])).size).toBe(100);
    for (const fact of mine) {
      expect(fact).toMatchObject({ ...ESTIMATE, outcome: 'client_gone', upstream_status: 200 });
      expect(fact['input_tokens']).toBeGreaterThan(0);
      expect(fact['output_tokens']).toBeGreaterThan(0);
    }
  });
});

describe('a report', () => {
  it("counts as one when the client leaves at [DONE], before the provider's end", async () => {
    const fact = await factOfNext(async () => {
      const client = new RawClient(gateway.port).send(
        request('/v1/chat/completions?act=after-done'),
      );
      await until('[DONE]', () => Buffer.concat(client.received).includes('[DONE]'));
      client.close();
    });
    expect(fact).toMatchObject({
      usage_source: 'reported',
      output_tokens: 7,
      outcome: 'client_gone',
    });
  });
});

describe('a body under the wrong content type', () => {
  const STREAMS: readonly (readonly [string, string])[] = [
    ['events', delta(TEXT) + REPORT + DONE],
    ['events without a space', (delta(TEXT) + REPORT + DONE).replaceAll('data: ', 'data:')],
    ['events behind comments', `: hi\n\nretry: 5\n\n${delta(TEXT)}${REPORT}${DONE}`],
    ['events behind blank lines', `\n\n${delta(TEXT)}${REPORT}${DONE}`],
    ['events behind a byte order mark', `\ufeff${delta(TEXT)}${REPORT}${DONE}`],
    ['events with CRLF', (delta(TEXT) + REPORT + DONE).replaceAll('\n', '\r\n')],
  ];
  const TYPES = ['text/plain', 'application/json', 'application/x-ndjson', 'text/html', ''];

  it.each(
    STREAMS,
  )('%s are metered, and the one that only we asked for is unseen', async (_, body) => {
    for (const type of TYPES) {
      for (const act of ['sent-sized', 'sent-chunked']) {
        sent = { body, type };
        const { response, fact } = await chat(act);
        expect(fact, type).toMatchObject({ usage_source: 'reported', input_tokens: 11 });
        expect(response.complete).toBe(true);
        expect(response.body.toString()).toContain('quick brown fox');
        expect(response.body.toString()).not.toContain('prompt_tokens');
      }
    }
  });

  it.each([
    ['JSON', `{"model":"m","usage":${USAGE}}`],
    ['lines of JSON', `{"model":"m"}\n{"usage":${USAGE}}\n`],
    ['JSON behind white space', ` \r\n{"model":"m","usage":${USAGE}}`],
    ['an array of JSON', `[{"model":"m"},\n{"usage":${USAGE}}]`],
  ])('%s is read, and passes byte for byte', async (_, body) => {
    for (const type of ['text/event-stream', 'text/plain', 'application/json']) {
      for (const act of ['sent-sized', 'sent-chunked']) {
        sent = { body, type };
        const { response, fact } = await chat(act);
        expect(fact, type).toMatchObject({ usage_source: 'reported', output_tokens: 7 });
        expect(response.body.toString()).toBe(body);
      }
    }
  });
});

describe('a report inside of an error', () => {
  it('counts: it is the bill of what was broken off', async () => {
    const { response, fact } = await chat('error-with-usage');
    expect(response.body.toString()).toContain('"code":502');
    expect(fact).toMatchObject({ usage_source: 'reported', input_tokens: 11, output_tokens: 7 });
  });
});

describe('none', () => {
  it.each([
    'error-json',
    'error-word',
    'error-object',
    'error-in-array',
    'error-first',
    'error-named',
    'error-behind-role',
    'error-under-events',
    'page',
    'page-as-json',
    'words',
    'empty',
    'empty-stream',
    'comments',
    'detail',
    'detail-in-list',
    'detail-in-pieces',
    'problem',
    'code-and-message',
    'error-code',
    'base-resp',
    'empty-object',
    'null',
    'closed-error',
    'closed-detail',
    'closed-done',
  ])('when a 200 holds nothing that anybody bills: %s', async (act) => {
    const { response, fact } = await chat(act);
    expect(response.status).toBe(200);
    expect(fact).toMatchObject({
      usage_source: 'none',
      input_tokens: null,
      output_tokens: null,
      upstream_status: 200,
      outcome: 'complete',
    });
  });

  // Only the connection's end delimits the closed ones: a provider that died with its answer begun ends so too.
  it.each([
    'unknown',
    'no-errors',
    'base-resp-well',
    'content-beside-message',
    'closed-empty',
    'closed-in-name',
    'closed-in-error',
    'closed-comments',
    'closed-words',
  ])('not for what may have been billed: %s', async (act) => {
    const { fact } = await chat(act);
    expect(fact).toMatchObject({ usage_source: 'estimated', outcome: 'complete' });
    expect(Number(fact['input_tokens'])).toBeGreaterThan(0);
  });

  it('when the provider answered with an error', async () => {
    const { response, fact } = await chat('error');
    expect(response.status).toBe(429);
    expect(fact).toMatchObject({
      usage_source: 'none',
      input_tokens: null,
      output_tokens: null,
      upstream_status: 429,
      outcome: 'complete',
    });
  });

  it('for what bills nothing', async () => {
    const fields = `HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
    const { field } = await exchange(`GET /v1/models ${fields}`);
    const fact = await factOf(gateway, field('x-sluice-request-id'));
    expect(fact).toMatchObject({
      usage_source: 'none',
      endpoint: '/v1/models',
      requested_model: null,
    });
  });
});

describe('no fact at all', () => {
  it("for what never reached a provider, nor for a caller's own key", async () => {
    await gateway.idle();
    const before = facts(gateway).length;
    const answers = [
      [request('/v1/files'), 404],
      [request('/v1/chat/completions', BODY, 'bai_v1.7.x.y'), 401],
      [request('/v1/chat/completions', 'x'.repeat(100_001)), 413],
      [request('/xai/v1/chat/completions'), 502],
      [request('/v1/chat/completions?act=stream', BODY, 'sk-mine'), 200],
    ] as const;
    for (const [bytes, status] of answers) expect((await exchange(bytes)).status).toBe(status);
    // Lines come in order: what follows tells that none is on its way.
    const { fact } = await chat('whole');
    expect(facts(gateway).slice(before)).toEqual([fact]);
  });
});

describe('an answer behind the response', () => {
  const ASKS = [
    ['/v1/responses', '{"model":"m","input":"x","background":true,"store":false}'],
    ['/v1/responses', '{"background":true,"stream":true,"model":"m","input":"x","deferred":true}'],
    ['/v1/responses/compact', '{"model":"m","input":"x","background":true}'],
    ['/v1/chat/completions', '{"model":"m","messages":[],"deferred":true}'],
    ['/v1/chat/completions', '{"stream":true,"model":"m","messages":[],"deferred":1}'],
  ] as const;

  it.each(ASKS)('is refused before anything was sent: %s %s', async (path, body) => {
    const seen = upstream.requests.length;
    const response = await exchange(request(path, body));
    expect(response.status).toBe(400);
    expect(response.json()).toMatchObject({ error: { code: 'not_followed' } });
    expect(response.body.toString()).toMatch(/The field is (background|deferred)\./);
    expect(upstream.requests.length).toBe(seen);
  });

  it.each(ASKS)('is refused before its last byte, in pieces: %s %s', async (path, body) => {
    for (const framing of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
      const seen = upstream.requests.length;
      const before = facts(gateway).length;
      const part = (text: string): string =>
        framing.startsWith('C') ? text : `${text.length.toString(16)}\r\n${text}\r\n`;
      const client = new RawClient(gateway.port);
      client.send(
        `POST /openai${path} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${TOKEN}\r\n${framing}\r\n\r\n${part(body.slice(0, 5))}`,
      );
      // The rest comes when the provider has the beginning, so that it is a piece of its own.
      await until('the beginning to come', () => upstream.requests.length > seen);
      client.send(part(body.slice(5)) + (framing.startsWith('C') ? '' : '0\r\n\r\n'));
      const response = await client.response();
      client.close();
      expect(response.status).toBe(400);
      expect(response.json()).toMatchObject({ error: { code: 'not_followed' } });
      const got = upstream.requests.at(-1);
      await until('the request to be taken back', () => got?.peerClosed === true);
      expect(got?.bodyDone).toBe(false);
      expect(facts(gateway).length).toBe(before);
    }
  });

  it('may be asked for where it means something else, or nothing', async () => {
    for (const [path, body] of [
      ['/v1/embeddings', '{"model":"m","input":"x","background":true}'],
      ['/v1/responses', '{"model":"m","input":"x","background":false}'],
    ] as const) {
      expect((await exchange(request(path, body))).status).toBe(200);
    }
  });

  it("is its caller's affair with a key of its own", async () => {
    const body = '{"model":"m","input":"x","background":true}';
    expect((await exchange(request('/v1/responses', body, 'sk-own'))).status).toBe(200);
  });
});

describe('a request body that is no JSON in UTF-8', () => {
  const text = JSON.stringify({ model: 'm', stream: true, messages: [{ content: PROMPT }] });
  const utf16 = Buffer.from(text, 'utf16le');
  const BODIES: readonly (readonly [string, Buffer])[] = [
    ['UTF-16', utf16],
    ['UTF-16, its bytes the other way', Buffer.from(utf16).swap16()],
    ['UTF-16 behind its mark', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-32', Buffer.from([...text].flatMap((char) => [char.charCodeAt(0), 0, 0, 0]))],
    ['NaN', Buffer.from(text.replace('true', 'true,"temperature":NaN'))],
    ['words', Buffer.from(PROMPT)],
  ];

  it.each(BODIES)('is untouched in two pieces: %s', async (name, body) => {
    // Words alone name no model: they are for a path that names a provider.
    const path = name === 'words' ? '/openai/v1' : '/v1';
    const seen = upstream.requests.length;
    const client = new RawClient(gateway.port);
    client.send(
      Buffer.concat([
        Buffer.from(
          `POST ${path}/chat/completions?act=stream HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${body.length}\r\n\r\n`,
        ),
        body.subarray(0, 60),
      ]),
    );
    await until('the beginning to come', () => upstream.requests.length > seen);
    client.send(body.subarray(60));
    expect((await client.response()).status).toBe(200);
    client.close();
    const got = upstream.requests.at(-1);
    expect(got?.field('content-length')).toBe(String(body.length));
    expect(got?.sha256).toBe(sha256(body));
  });
});

describe('the metrics', () => {
  it('agree with the facts', async () => {
    await gateway.idle();
    const { fact } = await chat('whole');
    expect(fact['usage_source']).toBe('reported');
    const metrics = await gateway.idle();
    const all = facts(gateway);
    for (const source of ['reported', 'estimated', 'none']) {
      const count = all.filter((line) => line['usage_source'] === source).length;
      expect(metrics.get(`ai_usage_facts_total{source="${source}"}`)).toBe(count);
    }
    for (const kind of ['input', 'output', 'cache_read', 'reasoning']) {
      const sum = all.reduce((total, line) => total + Number(line[`${kind}_tokens`] ?? 0), 0);
      expect(metrics.get(`ai_tokens_total{kind="${kind}"}`)).toBe(sum);
    }
    expect(metrics.get('ai_usage_facts_lost_total')).toBe(0);
  });
});

describe('the stock SDKs with a gateway key', () => {
  const messages = [{ role: 'user' as const, content: 'Say something about rivers.' }];

  it('openai: answers and streams, and each is metered as the provider counted', async () => {
    const client = new OpenAI({ apiKey: TOKEN, baseURL: `${gateway.origin}/cerebras/v1` });
    const whole = await client.chat.completions.create({ model: 'm', messages }).withResponse();
    const fact = await factOf(gateway, whole.response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      usage_source: 'reported',
      input_tokens: whole.data.usage?.prompt_tokens,
      output_tokens: whole.data.usage?.completion_tokens,
    });
    const stream = await client.chat.completions
      .create({ model: 'm', messages, stream: true })
      .withResponse();
    const chunks = [];
    for await (const chunk of stream.data) chunks.push(chunk);
    expect(chunks.filter(({ choices }) => choices.length === 0)).toEqual([]);
    const streamed = await factOf(gateway, stream.response.headers.get('x-sluice-request-id'));
    expect(streamed).toMatchObject({
      usage_source: 'reported',
      stream: true,
      input_tokens: fact['input_tokens'],
      output_tokens: fact['output_tokens'],
    });
  });

  it('openai: a client that asks for usage gets it', async () => {
    const client = new OpenAI({ apiKey: TOKEN, baseURL: `${gateway.origin}/cerebras/v1` });
    const { data, response } = await client.chat.completions
      .create({ model: 'm', messages, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    let usage = null;
    for await (const chunk of data) usage = chunk.usage ?? usage;
    const fact = await factOf(gateway, response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      input_tokens: usage?.prompt_tokens,
      output_tokens: usage?.completion_tokens,
    });
    expect(usage?.completion_tokens).toBeGreaterThan(0);
  });

  it('anthropic: answers and streams', async () => {
    const client = new Anthropic({ apiKey: TOKEN, baseURL: gateway.origin });
    const ask = { model: 'claude-mock', max_tokens: 100, messages };
    const whole = await client.messages.create(ask).withResponse();
    const fact = await factOf(gateway, whole.response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      dialect: 'anthropic',
      usage_source: 'reported',
      input_tokens: whole.data.usage.input_tokens,
      output_tokens: whole.data.usage.output_tokens,
    });
    const stream = await client.messages.create({ ...ask, stream: true }).withResponse();
    for await (const _ of stream.data);
    const streamed = await factOf(gateway, stream.response.headers.get('x-sluice-request-id'));
    expect(streamed).toMatchObject({
      usage_source: 'reported',
      output_tokens: fact['output_tokens'],
    });
  });

  it('a forged key is an authentication error that says so', async () => {
    const client = new OpenAI({
      apiKey: `${TOKEN.slice(0, -1)}w`,
      baseURL: `${gateway.origin}/v1`,
      maxRetries: 0,
    });
    const failure = await client.models.list().then(
      () => null,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(failure).toMatchObject({ code: 'bad_key' });
  });
});

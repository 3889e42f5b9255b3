import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROUTE } from '../../src/config/route-schema.ts';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

// The sixteen faults of the public failover benchmark (failoverbench, scenario catalogue 0.1), each through a stock client
// as an app has it: only its base URL and its key differ, its own retries are on. What counts as passed is the catalogue's:
// the whole answer of whoever is well (S13: the provider's own word), and manners towards the provider that is not.

type Safety = 'relay' | 'hold';
const SAFETIES: readonly Safety[] = (['relay', 'hold'] as const).filter(
  (safety) => ROUTE.safeParse({ targets: ['openai/m'], stream_safety: safety }).success,
);

/** How a stream that has begun ends for the caller when nothing is kept back. */
type Ends = 'whole' | 'error';

interface Scenario {
  readonly id: string;
  readonly title: string;
  /** The mock's fault of the first target. */
  readonly fault: string;
  /** The second target. */
  readonly other?: string;
  /** Lines of its route. */
  readonly route?: string;
  /** Its provider's times are short. */
  readonly isSlow?: boolean;
  readonly relay: Ends;
  readonly hold: Ends;
  /** Attempts at each target. */
  readonly attempts: readonly [first: number, second: number];
  /** Where an answer that has begun is not held: the second one is not asked. */
  readonly relayAttempts?: readonly [first: number, second: number];
}

const WELL: readonly [number, number] = [2, 0];
const ONCE = [1, 1] as const;

const SCENARIOS: readonly Scenario[] = [
  {
    id: 's01',
    title: '429 with retry-after, once',
    fault: 'fault-429-once',
    relay: 'whole',
    hold: 'whole',
    attempts: WELL,
  },
  {
    id: 's02',
    title: '429 without retry-after, each time',
    fault: 'fault-429-bare',
    relay: 'whole',
    hold: 'whole',
    attempts: ONCE,
  },
  {
    id: 's03',
    title: '500 once',
    fault: 'fault-500-once',
    relay: 'whole',
    hold: 'whole',
    attempts: WELL,
  },
  {
    id: 's04',
    title: '503 each time',
    fault: 'fault-503',
    relay: 'whole',
    hold: 'whole',
    attempts: [2, 1],
  },
  {
    id: 's05',
    title: 'a reset before the head, once',
    fault: 'fault-reset-once',
    relay: 'whole',
    hold: 'whole',
    attempts: WELL,
  },
  {
    id: 's06',
    title: 'no answer at all',
    fault: 'fault-silence',
    route: 'first_content_timeout_secs = 0.3',
    relay: 'whole',
    hold: 'whole',
    attempts: ONCE,
  },
  {
    id: 's07',
    title: 'a slow first token',
    fault: 'fault-slow-first-content-20000',
    route: 'first_content_timeout_secs = 0.3',
    relay: 'whole',
    hold: 'whole',
    attempts: ONCE,
  },
  {
    id: 's08',
    title: 'a cut in the middle',
    fault: 'fault-cut-12',
    route: 'retries = 0',
    relay: 'error',
    hold: 'whole',
    attempts: ONCE,
    relayAttempts: [1, 0],
  },
  {
    id: 's09',
    title: 'a stall in the middle',
    fault: 'fault-stall-10',
    isSlow: true,
    relay: 'error',
    hold: 'whole',
    attempts: ONCE,
    relayAttempts: [1, 0],
  },
  {
    id: 's10',
    title: 'a malformed chunk in the middle',
    fault: 'fault-malformed-9',
    route: 'retries = 0',
    relay: 'error',
    hold: 'whole',
    attempts: ONCE,
    relayAttempts: [1, 0],
  },
  {
    id: 's11',
    title: 'no terminal event',
    fault: 'fault-no-done',
    relay: 'whole',
    hold: 'whole',
    attempts: [1, 0],
  },
  {
    id: 's12',
    title: 'a context that is too long',
    fault: 'fault-context-length',
    route: 'fallback_on = ["rate_limit", "timeout", "server_error", "auth", "context_length"]',
    relay: 'whole',
    hold: 'whole',
    attempts: ONCE,
  },
  {
    id: 's13',
    title: 'a content filter',
    fault: 'fault-content-filter',
    relay: 'error',
    hold: 'error',
    attempts: [1, 0],
  },
  {
    id: 's14',
    title: 'a cut in the middle, and a second target that takes no prefill',
    fault: 'fault-cut-12',
    other: 'fault-no-prefill',
    route: 'retries = 0',
    relay: 'error',
    hold: 'whole',
    attempts: ONCE,
    relayAttempts: [1, 0],
  },
  {
    id: 's16',
    title: '503 each time, and who is billed',
    fault: 'fault-503',
    relay: 'whole',
    hold: 'whole',
    attempts: [2, 1],
  },
];

const CLIENTS = ['openai', 'anthropic'] as const;
type Client = (typeof CLIENTS)[number];

const PROMPT = 'Explain why a gateway earns trust only when the provider behind it misbehaves.';
const MESSAGES = [{ role: 'user' as const, content: PROMPT }];

/** One request at the mock: for which model, and when. */
interface Seen {
  readonly model: string;
  readonly atMs: number;
}

let mock: RunningMock;
let gateway: Gateway;
let seen: Seen[];

const routeName = (client: Client, id: string, safety: Safety): string =>
  `${client}-${id}-${safety}`;
const modelOf = (route: string, fault: string): string => `${route}/${fault}`;

function routeText(client: Client, scenario: Scenario, safety: Safety): string {
  const { id, fault, other = 'well', route = '', isSlow = false } = scenario;
  const name = routeName(client, id, safety);
  const [one, two] = client === 'openai' ? ['openai', 'groq'] : ['anthropic', 'backup'];
  return `[routes.${name}]
targets = ["${isSlow ? `slow-${one}` : one}/${modelOf(name, fault)}"]
fallbacks = ["${two}/${modelOf(name, other)}"]
stream_safety = "${safety}"
${route}
`;
}

beforeAll(async () => {
  seen = [];
  mock = await startMock({
    host: '127.0.0.1',
    port: 0,
    eventDelayMs: 0,
    log: (line) => seen.push({ model: line.split(' ')[1] ?? '', atMs: performance.now() }),
  });
  const names = ['openai', 'groq', 'anthropic', 'backup', 'slow-openai', 'slow-anthropic', 'flaps'];
  gateway = await startGateway({
    config: `workers = 1
breaker_failures = 3
breaker_open_secs = 0.3
${authorities(Object.fromEntries(names.map((name) => [name, mock.port])))}
[provider_dialects]
backup = "anthropic"
slow-anthropic = "anthropic"
[providers.slow-openai]
idle_timeout_secs = 1
[providers.slow-anthropic]
idle_timeout_secs = 1
${poolKeys(Object.fromEntries(names.map((name) => [name, `sk-${name}-pool`])))}${signingKeys()}
${CLIENTS.flatMap((client) => SCENARIOS.flatMap((one) => SAFETIES.map((safety) => routeText(client, one, safety)))).join('')}
[routes.flaps]
targets = ["flaps/fault-flap-5"]
fallbacks = ["groq/well"]
retries = 0
`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await mock.close();
});

interface Answer {
  readonly text: string;
  readonly model: string;
  readonly outputTokens: number;
  readonly requestId: string | null;
}

async function ask(client: Client, model: string, origin = gateway.origin): Promise<Answer> {
  return client === 'openai'
    ? await askOpenAi(
        new OpenAI({ baseURL: `${origin}/v1`, apiKey: token(), logLevel: 'off' }),
        model,
      )
    : await askAnthropic(
        new Anthropic({ baseURL: origin, apiKey: null, authToken: token(), logLevel: 'off' }),
        model,
      );
}

async function askOpenAi(client: OpenAI, model: string): Promise<Answer> {
  const { data, response } = await client.chat.completions
    .create({ model, messages: MESSAGES, stream: true, stream_options: { include_usage: true } })
    .withResponse();
  let [text, told, outputTokens] = ['', '', 0];
  for await (const chunk of data) {
    text += chunk.choices[0]?.delta.content ?? '';
    told = chunk.model;
    outputTokens = chunk.usage?.completion_tokens ?? outputTokens;
  }
  const requestId = response.headers.get('x-sluice-request-id');
  return { text, model: told, outputTokens, requestId };
}

async function askAnthropic(client: Anthropic, model: string): Promise<Answer> {
  const { data, response } = await client.messages
    .create({ model, max_tokens: 64, messages: MESSAGES, stream: true })
    .withResponse();
  let [text, told, outputTokens] = ['', '', 0];
  for await (const event of data) {
    if (event.type === 'message_start') told = event.message.model;
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
      text += event.delta.text;
    if (event.type === 'message_delta') outputTokens = event.usage.output_tokens;
  }
  const requestId = response.headers.get('x-sluice-request-id');
  return { text, model: told, outputTokens, requestId };
}

/** The facts of one route, once they are all there. */
async function factsOf(route: string, count: number): Promise<readonly LogLine[]> {
  return await until(`${count} facts of ${route}`, () => {
    const own = facts(gateway).filter((fact) => fact['route'] === route);
    return own.length === count && own;
  });
}

describe.each(CLIENTS)('through the stock SDK of %s', (client) => {
  describe.each(SAFETIES)('with stream_safety = "%s"', (safety) => {
    test.each(SCENARIOS)('$id, $title: it passes', async (one) => {
      const route = routeName(client, one.id, safety);
      const whole = await ask(client, modelOf(route, 'well'), mock.origin);
      seen.length = 0;
      const came = await ask(client, route).then(
        (answer) => answer,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
      const attempts = (safety === 'relay' ? one.relayAttempts : undefined) ?? one.attempts;
      if (one[safety] === 'error') {
        expect(came).toBeInstanceOf(Error);
      } else {
        const second = attempts[1] > 0;
        const answers = modelOf(route, second ? (one.other ?? 'well') : one.fault);
        expect(came).toMatchObject({
          text: whole.text,
          model: answers,
          outputTokens: whole.outputTokens,
        });
      }
      const counts = [one.fault, one.other ?? 'well'].map(
        (fault) => seen.filter(({ model }) => model === modelOf(route, fault)).length,
      );
      expect(counts).toEqual(attempts);

      const own = await factsOf(route, attempts[0] + attempts[1]);
      expect(own.filter(({ final }) => final === true)).toHaveLength(1);
      expect(own.at(-1)?.['final']).toBe(true);
      // A provider that refused, or was never heard of, is not billed for words.
      const unheard = /fault-(?:429|500|503|reset|silence|context|content)/.test(one.fault);
      const failed = unheard && attempts[1] > 0 ? own.slice(0, -1) : [];
      for (const fact of failed) expect(fact['output_tokens'] ?? 0).toBe(0);
    });
  });

  test('s01: what the provider asked to wait was waited for, and it was not asked again before', async () => {
    const route = routeName(client, 's01', 'relay');
    await gateway.idle();
    seen.length = 0;
    await ask(client, route);
    const [first, second] = seen.filter(({ model }) => model.startsWith(route));
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(980);
  });

  test("s13: the provider's own word reaches the caller", async () => {
    const error = await ask(client, routeName(client, 's13', 'relay')).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ status: 400 });
    expect(String(error)).toContain('content_policy_violation');
  });
});

test('s15, a provider that is down and comes back: every request is answered, it is left alone while it is down, and used again once it is well', async () => {
  seen.length = 0;
  const flapped = (): number => seen.filter(({ model }) => model === 'fault-flap-5').length;
  const answers: string[] = [];
  await until('the first target to answer again', async () => {
    const { model, text } = await ask('openai', 'flaps');
    expect(text).not.toBe('');
    answers.push(model);
    return model === 'fault-flap-5';
  });
  // Five failures were asked for: three opened the breaker, two were probes, and the sixth was the good one.
  expect(flapped()).toBe(6);
  expect(answers.length).toBeGreaterThan(6);
  for (let again = 0; again < 4; again++)
    expect((await ask('openai', 'flaps')).model).toBe('fault-flap-5');
});

import type { JsonObject } from '../../src/mock/json.ts';
import { say } from '../../src/mock/said.ts';
import { REQUEST_BYTES_PER_TOKEN, TEXT_BYTES_PER_TOKEN } from '../../src/settle/usage-estimate.ts';
import { TextCount } from '../../src/wire/text-count.ts';
import { seededRandom } from '../../test/support/fixtures.ts';
import { type Cost, isSound, STORM_FAULTS } from '../../test/support/metering-storm.ts';
import { type Plan, planOf } from '../../test/support/storm-plan.ts';
import { REFUSALS, type Refusal } from './refusals.ts';
import { type StreamPlan, streamPlanOf } from './stream-plan.ts';

/** Who asks: how a request gets to the gateway, and what its client does with the answer. */
interface Manner {
  readonly number: number;
  /** With a virtual key of `tenant`; else with a key of the caller's own. */
  readonly managed: boolean;
  readonly tenant: number;
  readonly fresh: boolean;
  /** The body goes up in pieces, without a length. */
  readonly chunked: boolean;
  readonly slowReader: boolean;
  /** Milliseconds after which the client leaves, 0 = at the first byte of the answer; null = it stays. */
  readonly leaveMs: number | null;
}

/** A request that `sluice mock` answers: its model carries the number, the vendor's shape and a fault. */
export interface MockOrder extends Manner {
  readonly kind: 'mock';
  readonly vendor: Vendor;
  /** As the client asks, and as the mock sees it. */
  readonly target: string;
  readonly path: string;
  readonly model: string;
  readonly fault: string | null;
  readonly body: JsonObject;
}

/** An event stream of which each byte is planned. */
export interface StreamOrder extends Manner {
  readonly kind: 'stream';
  readonly plan: StreamPlan;
  readonly body: JsonObject;
}

/** Known bytes both ways, up to 64 MiB, with a key of the caller's own. */
export interface BytesOrder extends Manner {
  readonly kind: 'bytes';
  readonly plan: Plan;
}

/** A request that the gateway itself answers. */
export interface RefusedOrder extends Manner {
  readonly kind: 'refused';
  readonly refusal: Refusal;
}

export type Order = MockOrder | StreamOrder | BytesOrder | RefusedOrder;

export const TENANTS = 50;
/** The last tenants are cut off and let in again while the soak runs. */
export const DENIABLE_FROM = 45;

const VENDORS = {
  openai: '/openai/v1',
  anthropic: '/anthropic/v1',
  groq: '/groq/openai/v1',
  mistral: '/mistral/v1',
  deepseek: '/deepseek/v1',
  together: '/together/v1',
  fireworks: '/fireworks/inference/v1',
  cerebras: '/cerebras/v1',
  openrouter: '/openrouter/api/v1',
  xai: '/xai/v1',
} as const;
type Vendor = keyof typeof VENDORS;
export const MOCKED: readonly Vendor[] = Object.keys(VENDORS) as Vendor[];

const CHAT_ONLY: readonly Vendor[] = MOCKED.filter((name) => name !== 'anthropic');
const WORDS = 'river stone light paper garden window letter engine summer bridge'.split(' ');
/** A share of requests from 0 to 1 for each kind; the rest are refused. */
const SHARES = { text: 0.68, embeddings: 0.78, picture: 0.81, stream: 0.9, bytes: 0.93 } as const;
const ABORTS = 0.15;
const ABORT_WITHIN_MS = 12;
const FAULTY = 0.15;
/** Base64 text of a picture, from and to. */
const PICTURE_BYTES = [16_384, 1_500_000] as const;

/** The order of a number: the same for every process that knows the seed. */
export function orderOf(seed: number, number: number): Order {
  const random = seededRandom(seed + number * 7);
  const kind = random();
  const leaves = random() < ABORTS;
  const manner: Manner = {
    number,
    managed: random() < 0.6,
    tenant: Math.floor(random() * TENANTS),
    fresh: random() < 0.2,
    chunked: random() < 0.2,
    slowReader: random() < 0.08,
    leaveMs: !leaves ? null : random() < 0.3 ? 0 : 1 + Math.floor(random() * ABORT_WITHIN_MS),
  };
  if (kind < SHARES.picture) return mockOrder(manner, kind, random);
  if (kind < SHARES.stream) {
    const plan = streamPlanOf(seed + number * 7 + 1, number);
    const asks = plan.clientAsks ? { stream_options: { include_usage: true } } : {};
    const messages = [{ role: 'user', content: 'go on' }];
    const body = { model: `long/s${number}/stream`, messages, stream: true, ...asks };
    return { ...manner, kind: 'stream', plan, body, leaveMs: null };
  }
  if (kind < SHARES.bytes) {
    const plan = planOf(seed + number * 7 + 2);
    return { ...manner, kind: 'bytes', managed: false, plan };
  }
  const refusal = REFUSALS[Math.floor(random() * REFUSALS.length)] ?? REFUSALS[0];
  return { ...manner, kind: 'refused', managed: false, leaveMs: null, refusal };
}

function mockOrder(manner: Manner, kind: number, random: () => number): MockOrder {
  const pick = <T>(list: readonly [T, ...T[]]): T =>
    list[Math.floor(random() * list.length)] ?? list[0];
  const prompt = Array.from({ length: 1 + Math.floor(random() * 60) }, () => random())
    .map((value) => WORDS[Math.floor(value * WORDS.length)])
    .join(' ');
  const stream = random() < 0.6;
  const asksUsage = random() < 0.3;
  const fault = random() < FAULTY ? pick(STORM_FAULTS) : null;
  const made = (vendor: Vendor, path: string, rest: JsonObject): MockOrder => {
    const model = `${vendor}/s${manner.number}/${fault ?? 'model'}`;
    const base = VENDORS[vendor];
    // What is behind the provider's name is what the provider sees.
    const sent = base.slice(base.indexOf('/', 1));
    const body = { model, ...rest };
    const paths = { target: base + path, path: sent + path };
    return { ...manner, kind: 'mock', vendor, ...paths, model, fault, body };
  };
  const messages = [{ role: 'user', content: prompt }];
  const streamed = stream ? { stream } : {};
  if (kind >= SHARES.embeddings) {
    const [least, most] = PICTURE_BYTES;
    const url = `data:image/png;base64,${'iVBORw0KGgo'.repeat((least * (most / least) ** random()) / 11)}`;
    const content = [
      { type: 'text', text: prompt },
      { type: 'image_url', image_url: { url } },
    ];
    return made('openai', '/chat/completions', {
      messages: [{ role: 'user', content }],
      ...streamed,
    });
  }
  if (kind >= SHARES.text) {
    return made('openai', '/embeddings', { input: [prompt, prompt], dimensions: 256 });
  }
  const shape = random();
  if (shape < 0.25)
    return made('anthropic', '/messages', { messages, max_tokens: 64, ...streamed });
  if (shape < 0.28) return made('anthropic', '/messages/count_tokens', { messages });
  if (shape < 0.4) return made('openai', '/responses', { input: prompt, ...streamed });
  if (shape < 0.45) return made('openai', '/completions', { prompt, ...streamed });
  const vendor = CHAT_ONLY[Math.floor(random() * CHAT_ONLY.length)] ?? 'openai';
  const asks = stream && asksUsage ? { stream_options: { include_usage: true } } : {};
  return made(vendor, '/chat/completions', { messages, ...streamed, ...asks });
}

/** The number in a model's name, or null for a model that is none of the soak's. */
export function numberOf(model: unknown): number | null {
  const match = typeof model === 'string' ? /\/s(\d+)\//.exec(model) : null;
  return match === null ? null : Number(match[1]);
}

/** What a managed order must be told to have cost. */
export interface Due {
  readonly cost: Cost;
  /**
   * Of an estimate: pictures are estimated from their bytes, which the mock does not count, and it names one in its answer
   * by a long word that it counts as one token.
   */
  readonly ceiling: Cost;
  /** Bills nothing: its fact says `none`. */
  readonly free: boolean;
  /** A whole answer has the usage in it. */
  readonly sound: boolean;
}

/** Input tokens that an estimate can reach: it counts names and schemas, which the mock does not, and pictures' first bytes. */
function estimatedInput(body: unknown): number {
  const text = new TextCount();
  text.push(Buffer.from(JSON.stringify(body)));
  return Math.ceil(text.textBytes / REQUEST_BYTES_PER_TOKEN);
}

export function dueOf(order: MockOrder | StreamOrder): Due {
  if (order.kind === 'stream') {
    const { cost } = order.plan;
    return { cost, ceiling: cost, free: false, sound: order.plan.fate !== 'upstream-cuts' };
  }
  const { counts, text } = say(order.body);
  const isEmbedding = order.path.endsWith('/embeddings');
  const cost = { input: counts.input, output: isEmbedding ? 0 : counts.output };
  const ceiling = {
    input: Math.max(cost.input, estimatedInput(order.body)),
    output: text.includes('image/png')
      ? Math.max(cost.output, Math.ceil(text.length / TEXT_BYTES_PER_TOKEN))
      : cost.output,
  };
  const { fault, path } = order;
  const free = path.endsWith('/count_tokens');
  return { cost, ceiling, free, sound: isSound({ fault, path }) };
}

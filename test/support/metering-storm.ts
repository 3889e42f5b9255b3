import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { type Said, say } from '../../src/mock/said.ts';
import { seededRandom } from './fixtures.ts';
import { type LogLine, MAIN } from './gateway.ts';
import { inLanes } from './lanes.ts';
import { token } from './managed.ts';

const TENANTS = 50;
const LANES = 48;
/** Share of clients that leave early, and within how many milliseconds. */
const ABORTS = 0.15;
const ABORT_WITHIN_MS = 12;
/** Share of requests that ask the mock for a fault. */
const FAULTY = 0.2;

export const STORM_FAULTS = [
  'fault-500',
  'fault-429',
  'fault-reset',
  'fault-garbage',
  'fault-cut-2',
  'fault-cut-midevent-2',
  'fault-error-event',
  'fault-short-length',
  'fault-no-done',
  'slow-1',
] as const;

const PATHS = ['/v1/chat/completions', '/v1/chat/completions', '/v1/messages', '/v1/responses'];

/** One request of the storm: the same for whoever knows its number. */
export interface StormRequest {
  /** Unique: it is the first part of the model's name, which the mock logs and the fact repeats. */
  readonly model: string;
  readonly fault: string | null;
  readonly tenant: number;
  readonly path: string;
  readonly body: string;
  /** What the mock answers, and what that costs. */
  readonly said: Said;
  /** Milliseconds after which the client leaves, 0 = at the first byte of the answer; null = it stays. */
  readonly leaveMs: number | null;
}

const WORDS = 'river stone light paper garden window letter engine summer bridge'.split(' ');

export function stormRequest(number: number, run: string): StormRequest {
  const random = seededRandom(number * 7 + 1);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const fault = random() < FAULTY ? (pick(STORM_FAULTS) ?? null) : null;
  const model = `${run}${number}/${fault ?? 'model'}`;
  const path = pick(PATHS) ?? '';
  const prompt = Array.from({ length: 1 + Math.floor(random() * 60) }, () => pick(WORDS)).join(' ');
  const messages = [{ role: 'user', content: prompt }];
  const stream = random() < 0.6;
  const body = {
    model,
    ...(path === '/v1/responses' ? { input: prompt } : { messages }),
    ...(path === '/v1/messages' ? { max_tokens: 64 } : {}),
    ...(stream ? { stream } : {}),
    ...(stream && path === '/v1/chat/completions' && random() < 0.3
      ? { stream_options: { include_usage: true } }
      : {}),
  };
  const leaves = random() < ABORTS;
  return {
    model,
    fault,
    tenant: number % TENANTS,
    path,
    body: JSON.stringify(body),
    said: say(body),
    leaveMs: !leaves ? null : random() < 0.3 ? 0 : 1 + Math.floor(random() * ABORT_WITHIN_MS),
  };
}

/** The answer will be whole, with usage in it, if nobody leaves. */
export function isSound({ fault, path }: Pick<StormRequest, 'fault' | 'path'>): boolean {
  // The marker that the Responses API ends with is the event that holds its usage.
  if (fault === 'fault-no-done') return path !== '/v1/responses';
  return fault === null || fault === 'slow-1';
}

/** What a request costs, in tokens. */
export interface Cost {
  readonly input: number;
  readonly output: number;
}

/** Some wires have not said a word before the mock's error event: then a 200 held nothing else. */
function isOnlyAnError(fact: LogLine): boolean {
  return String(fact['requested_model']).includes('fault-error-event');
}

/**
 * How a fact is true: it tells the cost exactly, estimates no more than it, or says that an error cost nothing.
 * @returns null when it is none of these
 */
export function truthOf(fact: LogLine, { input, output }: Cost): 'told' | 'low' | 'nothing' | null {
  const [factInput, factOutput] = [Number(fact['input_tokens']), Number(fact['output_tokens'])];
  switch (fact['usage_source']) {
    case 'reported':
      return factInput === input && factOutput === output ? 'told' : null;
    case 'estimated':
      return factInput <= input && factOutput <= output ? 'low' : null;
    default:
      return Number(fact['upstream_status']) >= 300 || isOnlyAnError(fact) ? 'nothing' : null;
  }
}

/** What became of a request at its client. */
export interface StormEnd {
  readonly asked: StormRequest;
  /** 0 = no head came. */
  readonly status: number;
  readonly complete: boolean;
}

/** Sends requests over kept connections until all are sent or `stopped` says so; resolves with their ends. */
export async function storm(
  port: number,
  requests: readonly StormRequest[],
  stopped: () => boolean = () => false,
): Promise<readonly StormEnd[]> {
  const ends: StormEnd[] = [];
  const lane = () => new Agent({ keepAlive: true, maxSockets: 1 });
  await inLanes(requests, LANES, lane, async (asked, agent) => {
    if (!stopped()) ends.push(await exchange(port, asked, agent));
  });
  return ends;
}

const keys = Array.from({ length: TENANTS }, (_, tenant) => token({ tenantId: BigInt(tenant) }));

function exchange(port: number, asked: StormRequest, agent: Agent): Promise<StormEnd> {
  return new Promise((resolve) => {
    let response: IncomingMessage | null = null;
    let timer: NodeJS.Timeout | null = null;
    const sent = request({
      agent,
      port,
      host: '127.0.0.1',
      method: 'POST',
      // By the path that names the provider: the slash in these models would name one.
      path: `${asked.path === '/v1/messages' ? '/anthropic' : '/openai'}${asked.path}`,
      headers: {
        authorization: `Bearer ${keys[asked.tenant]}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(asked.body),
      },
    });
    sent.on('error', () => {});
    sent.on('response', (head) => {
      response = head;
      head.on('error', () => {});
      head.on('data', () => {
        if (asked.leaveMs === 0) sent.destroy();
      });
    });
    sent.on('close', () => {
      if (timer !== null) clearTimeout(timer);
      resolve({ asked, status: response?.statusCode ?? 0, complete: response?.complete === true });
    });
    if (asked.leaveMs !== null && asked.leaveMs > 0)
      timer = setTimeout(() => sent.destroy(), asked.leaveMs);
    sent.end(asked.body);
  });
}

/** `sluice mock` in a process of its own, which logs every request that it has read whole. */
export class LoggingMock {
  readonly child: ChildProcess;
  /** Names of the models asked for, in the order of their coming. */
  readonly models: string[] = [];
  port = 0;

  constructor() {
    this.child = spawn(process.execPath, [MAIN, 'mock', '--port', '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    process.once('exit', () => this.child.kill('SIGKILL'));
  }

  async ready(): Promise<this> {
    if (this.child.stdout === null) throw new Error('no stdout');
    const lines = createInterface(this.child.stdout);
    lines.on('line', (line) => {
      const match = /^\S+ (\S+\d+\/\S+)/.exec(line);
      if (match?.[1] !== undefined) this.models.push(match[1]);
      else this.port ||= Number(/^mock provider on .*:(\d+)$/.exec(line)?.[1] ?? 0);
    });
    while (this.port === 0) await once(lines, 'line');
    return this;
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

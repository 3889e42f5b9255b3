import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import type { FailoverReason } from '../../src/plan/failover.ts';
import { until } from './conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from './gateway.ts';
import { facts, poolKeys, signingKeys, token } from './managed.ts';
import { PATHS, type SceneWire } from './routed-scene.ts';

/**
 * Every fault of the mock, what it is by the contract, and what must come of it. Nothing here was copied from an output:
 * `expected` derives each cell from what its fault is.
 */

/** What a fault does to an answer. */
type Strike =
  /** The provider says no. `reason` null: it is the caller's own to hear. */
  | { readonly at: 'status'; readonly status: number; readonly reason: FailoverReason | null }
  /** No head comes; `status` is the gateway's own where no other target is left. */
  | { readonly at: 'head'; readonly reason: FailoverReason; readonly status: 502 | 504 }
  /** Behind so many events of a stream; somewhere in a whole body. */
  | { readonly at: 'events'; readonly events: number; readonly then: Spoil }
  /** What is missing is nothing that anybody needs. */
  | { readonly at: 'nowhere' };

type Spoil =
  /** The connection ends. */
  | 'cut'
  /** Nothing more comes, and the connection stays. */
  | 'silence'
  /** Keep-alives, for ever. */
  | 'pings'
  /** The rest comes later than the route allows for a first content. */
  | 'late'
  /** The vendor tells of an error. */
  | 'error'
  /** JSON that is none, in a framing that is whole. */
  | 'broken'
  /** A clean end without anything. */
  | 'end';

interface Fault {
  readonly model: string;
  readonly strike: Strike;
}

const status = (status: number, reason: FailoverReason | null): Strike => ({
  at: 'status',
  status,
  reason,
});
const behind = (events: number, then: Spoil): Strike => ({ at: 'events', events, then });

/** Milliseconds, of routes whose fault is a wait: nothing else is ever that late. */
export const FIRST_CONTENT_MS = 3_000;
const LATE_MS = 4_500;

const FAULTS: readonly Fault[] = [
  { model: 'fault-429', strike: status(429, 'rate_limit') },
  { model: 'fault-429-bare', strike: status(429, 'rate_limit') },
  { model: 'fault-408', strike: status(408, 'timeout') },
  { model: 'fault-504', strike: status(504, 'timeout') },
  ...[425, 500, 502, 503, 520, 521, 522, 523, 524, 529].map((code) => ({
    model: `fault-${code}`,
    strike: status(code, 'server_error'),
  })),
  ...[401, 402, 403].map((code) => ({ model: `fault-${code}`, strike: status(code, 'auth') })),
  ...[400, 404, 405, 409, 413, 415, 422].map((code) => ({
    model: `fault-${code}`,
    strike: status(code, null),
  })),
  { model: 'fault-context-length', strike: status(400, null) },
  { model: 'fault-content-filter', strike: status(400, null) },
  { model: 'fault-reset', strike: { at: 'head', reason: 'server_error', status: 502 } },
  { model: 'fault-garbage', strike: { at: 'head', reason: 'server_error', status: 502 } },
  { model: 'fault-silence', strike: { at: 'head', reason: 'timeout', status: 504 } },
  { model: `fault-slow-first-content-${LATE_MS}`, strike: behind(0, 'late') },
  { model: 'fault-pings', strike: behind(0, 'pings') },
  { model: 'fault-role-only', strike: behind(0, 'silence') },
  { model: 'fault-error-first', strike: behind(0, 'error') },
  { model: 'fault-error-event', strike: behind(2, 'error') },
  { model: 'fault-malformed', strike: behind(1, 'broken') },
  { model: 'fault-malformed-6', strike: behind(6, 'broken') },
  { model: 'fault-cut-json', strike: behind(0, 'broken') },
  { model: 'fault-empty', strike: behind(0, 'end') },
  { model: 'fault-cut-0', strike: behind(0, 'cut') },
  { model: 'fault-cut-1', strike: behind(1, 'cut') },
  { model: 'fault-cut-6', strike: behind(6, 'cut') },
  { model: 'fault-cut-midevent-6', strike: behind(6, 'cut') },
  { model: 'fault-short-length', strike: behind(0, 'cut') },
  { model: 'fault-stall-1', strike: behind(1, 'silence') },
  { model: 'fault-stall-6', strike: behind(6, 'silence') },
  { model: 'fault-no-done', strike: { at: 'nowhere' } },
];

/** Events of the mock's answers before their first content. */
const OPENING: Readonly<Record<SceneWire, number>> = { chat: 1, responses: 4, messages: 3 };

export interface Cell {
  readonly wire: SceneWire;
  readonly stream: boolean;
  /** The second target has the same fault; else it is well. */
  readonly both: boolean;
  readonly fault: Fault;
  readonly via: 'raw' | 'sdk';
  readonly name: string;
  /** The route, and what makes the models of this cell its own. */
  readonly route: string;
  readonly first: string;
  readonly second: string;
}

/** Who answers, and what of it the caller gets. */
export interface Expected {
  /** Attempts at each target. */
  readonly attempts: readonly [first: number, second: number];
  /** Why each attempt that another one followed came to nothing. */
  readonly reasons: readonly FailoverReason[];
  readonly answers: 'first' | 'second' | 'gateway';
  readonly status: number;
  /** `whole`: as its provider sent it. `cut`: that, and no clean end. `open`: it never ends. */
  readonly ends: 'whole' | 'cut' | 'open';
  /** Whole events that come before a cut; -1 = not told by the contract. */
  readonly events: number;
}

/** What the contract says of one cell. */
export function expected({ wire, stream, both, fault: { model, strike } }: Cell): Expected {
  const came = outcome(strike, wire, stream, model);
  if (came.kind !== 'fails') {
    return { ...came.seen, attempts: [1, 0], reasons: [], answers: 'first' };
  }
  const reasons = [came.reason];
  if (!both) {
    const seen = { status: 200, ends: 'whole', events: -1 } as const;
    return { ...seen, attempts: [1, 1], reasons, answers: 'second' };
  }
  // With one target left nothing is held: what it does is what is seen.
  const isGateways = strike.at === 'head' || came.reason === 'auth' || isCutAtOnce(strike, stream);
  return {
    ...last(strike, stream, came.reason),
    attempts: [1, 1],
    reasons,
    answers: isGateways ? 'gateway' : 'second',
  };
}

type Seen = Pick<Expected, 'status' | 'ends' | 'events'>;
type Outcome =
  | { readonly kind: 'told'; readonly seen: Seen }
  | { readonly kind: 'fails'; readonly reason: FailoverReason };

const told = (status: number, ends: Seen['ends'] = 'whole', events = -1): Outcome => ({
  kind: 'told',
  seen: { status, ends, events },
});
const fails = (reason: FailoverReason): Outcome => ({ kind: 'fails', reason });

/** As the first of two targets, whose answer is held until its first content, or to its end. */
function outcome(strike: Strike, wire: SceneWire, stream: boolean, model: string): Outcome {
  switch (strike.at) {
    case 'nowhere':
      return told(200);
    case 'status':
      return strike.reason === null ? told(strike.status) : fails(strike.reason);
    case 'head':
      return fails(strike.reason);
    case 'events': {
      const { events, then } = strike;
      // A length is a whole answer's.
      if (stream && model === 'fault-short-length') return told(200);
      // A whole answer is late when it is late: only its first byte has a time.
      if (!stream) return then === 'late' ? told(200) : fails(REASONS[then]);
      if (events <= OPENING[wire]) return fails(REASONS[then]);
      return told(200, then === 'cut' || then === 'silence' ? 'cut' : 'whole', events);
    }
  }
}

const REASONS: Readonly<Record<Spoil, FailoverReason>> = {
  cut: 'server_error',
  silence: 'timeout',
  pings: 'timeout',
  late: 'timeout',
  error: 'server_error',
  broken: 'server_error',
  end: 'server_error',
};

/** A stream's head is kept for half a second until its first event: whom its provider leaves by then gets an error. */
function isCutAtOnce(strike: Strike, stream: boolean): boolean {
  return stream && strike.at === 'events' && strike.events === 0 && strike.then === 'cut';
}

function last(strike: Strike, stream: boolean, reason: FailoverReason): Seen {
  switch (strike.at) {
    case 'nowhere':
      return { status: 200, ends: 'whole', events: -1 };
    case 'status':
      return { status: reason === 'auth' ? 502 : strike.status, ends: 'whole', events: -1 };
    case 'head':
      return { status: strike.status, ends: 'whole', events: -1 };
    case 'events': {
      const { then, events } = strike;
      if (then === 'pings' && stream) return { status: 200, ends: 'open', events: -1 };
      if (isCutAtOnce(strike, stream)) return { status: 502, ends: 'whole', events: -1 };
      const isCut = then === 'cut' || then === 'silence' || then === 'pings';
      return { status: 200, ends: isCut ? 'cut' : 'whole', events };
    }
  }
}

// ---- the cells -------------------------------------------------------------------------------------------------------

const WIRES: readonly SceneWire[] = ['chat', 'responses', 'messages'];

/** A wait is what such a fault is: their providers' and routes' times are short, all others' are never reached. */
function isSlow({ strike }: Fault): boolean {
  if (strike.at === 'head') return strike.status === 504;
  return strike.at === 'events' && ['silence', 'pings', 'late'].includes(strike.then);
}

/** Late, and well for whoever waits. */
function isLate({ strike }: Fault): boolean {
  return strike.at === 'events' && strike.then === 'late';
}

/** Its first content never comes, or comes too late. */
function limitsContent({ fault, wire }: Cell): boolean {
  const { strike } = fault;
  return isSlow(fault) && (strike.at !== 'events' || strike.events <= OPENING[wire]);
}

function isKeys({ strike }: Fault): boolean {
  return strike.at === 'status' && strike.reason === 'auth';
}

/** Each such cell has providers of its own, and a process has room for 64 of them. */
function mayHaveProviders({ model }: Fault, stream: boolean, via: Cell['via']): boolean {
  return via === 'raw' && (stream || model === 'fault-401');
}

export function cells(): readonly Cell[] {
  const made: Cell[] = [];
  for (const fault of FAULTS) {
    for (const wire of WIRES) {
      for (const stream of [true, false]) {
        for (const both of [false, true]) {
          for (const via of ['raw', 'sdk'] as const) {
            // A client that reads for ever says nothing more than its bytes do.
            const isEndless = both && stream && via === 'sdk' && fault.model === 'fault-pings';
            if (isEndless || (isKeys(fault) && !mayHaveProviders(fault, stream, via))) continue;
            const route = `c${made.length}`;
            const kind = `${isSlow(fault) ? 'slow' : ''}${wire === 'messages' ? 'claude' : 'gpt'}`;
            // A key that was refused rests for its provider's other models too.
            const one = isKeys(fault) ? `${route}-one` : `${kind}-one`;
            // Whoever is well may take his time: a busy machine is no fault.
            const isWell = !both || isLate(fault);
            const usual = `${isWell ? kind.replace('slow', '') : kind}-two`;
            const two = isKeys(fault) && both ? `${route}-two` : usual;
            made.push({
              fault,
              wire,
              stream,
              both,
              via,
              route,
              first: `${one}/${route}/${fault.model}`,
              second: `${two}/${route}/${both ? fault.model : 'well'}`,
              name: `${fault.model} of ${both ? 'both targets' : 'the first target'}, ${wire}, ${stream ? 'streamed' : 'whole'}, by ${via}`,
            });
          }
        }
      }
    }
  }
  return made;
}

const providerOf = (target: string): string => target.slice(0, target.indexOf('/'));
export const modelOf = (target: string): string => target.slice(target.indexOf('/') + 1);

// ---- the run ---------------------------------------------------------------------------------------------------------

/** What a stock client made of an answer. */
export type Sdk =
  | { readonly kind: 'said'; readonly text: string; readonly model: string }
  | { readonly kind: 'status'; readonly status: number }
  /** An error that is no answer of a provider's. */
  | { readonly kind: 'broke' };

/** One answer, through one of the two ways of asking. */
export interface Got {
  readonly raw: {
    readonly status: number;
    readonly text: string;
    readonly cut: boolean;
    readonly attempts: string | null;
    readonly target: string | null;
  } | null;
  readonly sdk: Sdk | null;
}

export interface Ran {
  readonly cell: Cell;
  readonly got: Got;
  /** What the target itself answers, with its fault; null where that never ends, or is nobody's answer. */
  readonly direct: Got | null;
  /** The same without its fault, of which a cut is a beginning. */
  readonly sound: Got | null;
}

export class FaultMatrix {
  readonly gateway: Gateway;
  readonly #mocks: readonly RunningMock[];
  readonly #key = token();
  /** Models in the order in which each upstream was asked for them. */
  readonly asked: readonly [string[], string[]];
  /** Tokens that each upstream billed, by model. */
  readonly billed: readonly [Map<string, number>, Map<string, number>];

  constructor(
    gateway: Gateway,
    mocks: readonly RunningMock[],
    asked: readonly [string[], string[]],
    billed: readonly [Map<string, number>, Map<string, number>],
  ) {
    this.gateway = gateway;
    this.#mocks = mocks;
    this.asked = asked;
    this.billed = billed;
  }

  /** Asks for all cells, those that wait all at once, and forgets what the mocks were asked directly. */
  async run(all: readonly Cell[], atOnce: number): Promise<readonly Ran[]> {
    const ran: Ran[] = [];
    const direct = await pooled(all, atOnce, async (cell) => await this.#direct(cell));
    for (const list of this.asked) list.length = 0;
    for (const books of this.billed) books.clear();
    const got = await pooled(all, atOnce, async (cell) =>
      cell.via === 'raw'
        ? { raw: await this.#raw(this.gateway.origin, cell, cell.route, false), sdk: null }
        : { raw: null, sdk: await sdk(this.gateway.origin, this.#key, cell, cell.route, false) },
    );
    for (const [at, cell] of all.entries()) {
      const own = got[at];
      const known = direct[at];
      if (own === undefined || known === undefined) throw new Error('unreachable');
      ran.push({ cell, got: own, ...known });
    }
    return ran;
  }

  async #direct(cell: Cell): Promise<Pick<Ran, 'direct' | 'sound'>> {
    const { answers, ends } = expected(cell);
    const at = answers === 'first' ? 0 : 1;
    const origin = this.#mocks[at]?.origin ?? '';
    const model = modelOf(at === 0 ? cell.first : cell.second);
    const ask = async (off: boolean): Promise<Got> =>
      cell.via === 'raw'
        ? { raw: await this.#raw(origin, cell, model, off), sdk: null }
        : { raw: null, sdk: await sdk(origin, this.#key, cell, model, off) };
    const never = answers === 'gateway' || ends !== 'whole';
    return {
      direct: never ? null : await ask(false),
      sound: ends === 'cut' && cell.via === 'raw' ? await ask(true) : null,
    };
  }

  async #raw(origin: string, cell: Cell, model: string, off: boolean): Promise<Got['raw']> {
    const leaving = new AbortController();
    const isOpen = expected(cell).ends === 'open' && !off;
    let text = '';
    let cut = false;
    try {
      const response = await fetch(origin + PATHS[cell.wire], {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${this.#key}`,
          ...ALONE,
          ...(off ? { 'x-mock-faults': 'off' } : {}),
        },
        body: JSON.stringify(bodyOf(cell, model)),
        signal: leaving.signal,
      });
      try {
        for await (const piece of response.body ?? []) {
          text += Buffer.from(piece).toString('latin1');
          if (isOpen && text.length > OPEN_CHARACTERS) leaving.abort();
        }
      } catch {
        cut = true;
      }
      return {
        status: response.status,
        text,
        cut,
        attempts: response.headers.get('x-sluice-attempts'),
        target: response.headers.get('x-sluice-target'),
      };
    } catch (error) {
      throw new Error(`${cell.name} got no answer`, { cause: error });
    }
  }

  /** Every fact, when nothing is in flight and each that was counted was printed. */
  async facts(): Promise<readonly LogLine[]> {
    return await until('every fact that was counted', async () => {
      const metrics = await this.gateway.idle();
      const counted = ['reported', 'estimated', 'none']
        .map((source) => metrics.get(`ai_usage_facts_total{source="${source}"}`))
        .reduce((sum, count) => sum + count, 0);
      const seen = facts(this.gateway);
      return seen.length === counted && seen;
    });
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
    for (const mock of this.#mocks) await mock.close();
  }
}

/** A connection that was idle for long on a busy machine is closed in the moment in which it is used again. */
const ALONE = { connection: 'close' };

/** An answer that never ends is left by its client when it has read so much of it. */
const OPEN_CHARACTERS = 200;

export async function startFaultMatrix(all: readonly Cell[]): Promise<FaultMatrix> {
  const asked: [string[], string[]] = [[], []];
  const billed: [Map<string, number>, Map<string, number>] = [new Map(), new Map()];
  const mocks: RunningMock[] = [];
  for (const [at, list] of asked.entries()) {
    const books = billed[at] ?? new Map<string, number>();
    mocks.push(
      await startMock({
        host: '127.0.0.1',
        port: 0,
        eventDelayMs: 0,
        log: (line) => list.push(line.split(' ')[1] ?? ''),
        billed: ({ model }, tokens) =>
          books.set(model, (books.get(model) ?? 0) + tokens.input + tokens.output),
      }),
    );
  }
  const [one, two] = mocks;
  if (one === undefined || two === undefined) throw new Error('unreachable');
  const ports = new Map<string, number>();
  const dialects = new Map<string, string>();
  for (const { wire, first, second } of all) {
    for (const [target, { port }] of [
      [first, one],
      [second, two],
    ] as const) {
      ports.set(providerOf(target), port);
      dialects.set(providerOf(target), wire === 'messages' ? 'anthropic' : 'openai');
    }
  }
  const names = [...ports.keys()];
  const routes = all.map(
    (cell) =>
      `[routes.${cell.route}]\ntargets = ["${cell.first}"]\nfallbacks = ["${cell.second}"]\nretries = 0\n` +
      `first_content_timeout_secs = ${limitsContent(cell) ? FIRST_CONTENT_MS / 1_000 : 600}\n`,
  );
  const slow = names.filter((name) => name.startsWith('slow'));
  const gateway = await startGateway({
    config: `workers = 1
connect_timeout_secs = 600
breaker_failures = 1000000
hold_secs = 600
${authorities(Object.fromEntries(ports))}
[provider_dialects]
${names.map((name) => `${name} = "${dialects.get(name)}"`).join('\n')}
${poolKeys(Object.fromEntries(names.map((name) => [name, `sk-${name}`])))}
${signingKeys()}
${slow.map((name) => `[providers.${name}]\nfirst_byte_timeout_secs = 5\nidle_timeout_secs = 5\n`).join('')}
${routes.join('')}`,
  });
  return new FaultMatrix(gateway, mocks, asked, billed);
}

/** @returns results in the order of the cells */
async function pooled<Result>(
  all: readonly Cell[],
  atOnce: number,
  run: (cell: Cell) => Promise<Result>,
): Promise<readonly Result[]> {
  const results = new Map<Cell, Result>();
  const [waiting, others] = [true, false].map((isWait) =>
    all.filter(({ fault }) => isSlow(fault) === isWait),
  );
  const queue = others?.values() ?? [].values();
  const lanes = Array.from({ length: atOnce }, async () => {
    for (const cell of queue) results.set(cell, await run(cell));
  });
  const waits = (waiting ?? []).map(async (cell) => results.set(cell, await run(cell)));
  await Promise.all([...lanes, ...waits]);
  return all.map((cell) => results.get(cell) as Result);
}

// ---- requests --------------------------------------------------------------------------------------------------------

const PROMPT = 'What did the river say to the stone when it came back?';
const MESSAGES = [{ role: 'user' as const, content: PROMPT }];

function bodyOf({ wire, stream }: Cell, model: string): object {
  switch (wire) {
    case 'chat':
      return {
        model,
        messages: MESSAGES,
        stream,
        ...(stream ? { stream_options: { include_usage: true } } : {}),
      };
    case 'responses':
      return { model, input: PROMPT, stream };
    case 'messages':
      return { model, max_tokens: 64, messages: MESSAGES, stream };
  }
}

async function sdk(
  origin: string,
  key: string,
  cell: Cell,
  model: string,
  off: boolean,
): Promise<Sdk> {
  const defaultHeaders = { ...ALONE, ...(off ? { 'x-mock-faults': 'off' } : {}) };
  try {
    return cell.wire === 'messages'
      ? await message(
          new Anthropic({
            baseURL: origin,
            apiKey: null,
            authToken: key,
            maxRetries: 0,
            logLevel: 'off',
            defaultHeaders,
          }),
          model,
          cell.stream,
        )
      : await said(
          new OpenAI({
            baseURL: `${origin}/v1`,
            apiKey: key,
            maxRetries: 0,
            logLevel: 'off',
            defaultHeaders,
          }),
          model,
          cell,
        );
  } catch (error) {
    const status = (error as { readonly status?: unknown }).status;
    return typeof status === 'number' ? { kind: 'status', status } : { kind: 'broke' };
  }
}

async function said(client: OpenAI, model: string, { wire, stream }: Cell): Promise<Sdk> {
  if (wire === 'responses') {
    if (!stream) {
      const answer = await client.responses.create({ model, input: PROMPT });
      return { kind: 'said', text: answer.output_text, model: answer.model };
    }
    let text = '';
    let told = '';
    for await (const event of await client.responses.create({
      model,
      input: PROMPT,
      stream: true,
    })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.type === 'response.created') told = event.response.model;
    }
    return { kind: 'said', text, model: told };
  }
  if (!stream) {
    const answer = await client.chat.completions.create({ model, messages: MESSAGES });
    return {
      kind: 'said',
      text: answer.choices[0]?.message.content ?? '',
      model: answer.model,
    };
  }
  let text = '';
  let told = '';
  for await (const chunk of await client.chat.completions.create({
    model,
    messages: MESSAGES,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    text += chunk.choices[0]?.delta.content ?? '';
    told = chunk.model;
  }
  return { kind: 'said', text, model: told };
}

async function message(client: Anthropic, model: string, stream: boolean): Promise<Sdk> {
  const asked = { model, max_tokens: 64, messages: MESSAGES };
  if (!stream) {
    const answer = await client.messages.create(asked);
    const text = answer.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
    return { kind: 'said', text, model: answer.model };
  }
  let text = '';
  let told = '';
  for await (const event of await client.messages.create({ ...asked, stream: true })) {
    if (event.type === 'message_start') told = event.message.model;
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
      text += event.delta.text;
  }
  return { kind: 'said', text, model: told };
}

/** Everything that makes load, as a bench sees it: each of them is a process of its own. */

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from '../test/support/gateway.ts';
import { MODEL } from './chat.ts';
import type { CallerWireName, UpstreamWireName } from './ends/stream-wires.ts';
import type { Peer } from './peers/peer.ts';
import { FOLDER, Running } from './peers/processes.ts';
import { cpuMicros } from './process-cpu.ts';

/** One of the processes in `bench/ends`. */
export class End {
  readonly #running: Running;
  readonly #answers: AsyncIterator<string>;

  /** @param script its file name in `bench/ends` */
  constructor(script: string) {
    this.#running = new Running(process.execPath, [join(ROOT, 'bench/ends', script)]);
    const { stdout } = this.#running.child;
    if (stdout === null) throw new Error(`${script} has no stdout`);
    this.#answers = createInterface(stdout)[Symbol.asyncIterator]();
  }

  /** Asks for one job. The caller knows what its answer holds. @throws when the process ended over it */
  async ask<Result = unknown>(job: string, asked: object = {}): Promise<Result> {
    this.#running.child.stdin?.write(`${JSON.stringify({ job, ...asked })}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true)
      throw new Error(`an end of the bench broke in "${job}": ${await this.#how()}`);
    return JSON.parse(value) as Result;
  }

  async #how(): Promise<string> {
    const { child, ended } = this.#running;
    if (!ended) await once(child, 'exit');
    return child.signalCode ?? `exit code ${child.exitCode}`;
  }

  async stop(): Promise<void> {
    await this.#running.stop();
  }
}

/** What requests of a run have in common. */
export interface Requests {
  readonly port: number;
  /** Field lines beside host, key, content type and length, each with its CRLF. */
  readonly fields: string;
  readonly body: string;
}

/** A text that an end reads for itself: bodies are too large for its stdin. */
function textFile(name: string, text: string): string {
  const file = join(FOLDER, name);
  writeFileSync(file, text);
  return file;
}

/** Who asks for what: `path TAB key` for one request each, in turn. */
export function callersFile(name: string, callers: Iterable<readonly [string, string]>): string {
  return textFile(name, Array.from(callers, ([path, key]) => `${path}\t${key}\n`).join(''));
}

/** A result of `closed`. */
interface ClosedLoop {
  readonly answered: number;
  /** Answers other than 200. */
  readonly refused: number;
  readonly seconds: number;
}

/** A result of `open`: milliseconds from the moment when a request was due to the end of its response. */
export interface OpenLoopResult {
  readonly answered: number;
  readonly refused: number;
  readonly broken: number;
  readonly unanswered: number;
  /** Connections in use at the end. */
  readonly lanes: number;
  /** How late the generator itself was, 99th percentile; part of the latencies. */
  readonly lateMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** Small requests over raw sockets. */
export class JsonLoad {
  readonly #end = new End('json-load.ts');

  /** @param callers a file from `callersFile` */
  async target({ port, fields, body }: Requests, callers: string): Promise<void> {
    const file = textFile(`body-${port}`, body);
    await this.#end.ask('target', { port, fields, body: file, callers });
  }

  /** Opens fresh connections, with one request each. */
  async connect(connections: number): Promise<void> {
    await this.#end.ask('connect', { connections });
  }

  /** As fast as answers come: `requests` of them, or for `seconds`. */
  async closed(extent: {
    readonly requests?: number;
    readonly seconds?: number;
  }): Promise<ClosedLoop> {
    return await this.#end.ask('closed', extent);
  }

  /** At a constant rate. */
  async open(ratePerSecond: number, seconds: number): Promise<OpenLoopResult> {
    return await this.#end.ask('open', { ratePerSecond, seconds });
  }

  async stop(): Promise<void> {
    await this.#end.stop();
  }
}

/** An upstream that takes and gives bodies of any size. */
export class BodyUpstream {
  readonly #end = new End('body-upstream.ts');

  /** @returns its port */
  async listen(): Promise<number> {
    const { port } = await this.#end.ask<{ readonly port: number }>('listen');
    return port;
  }

  /** From now on it answers with this text, as JSON. */
  async answer(text: string): Promise<void> {
    await this.#end.ask('answer', { file: textFile('answer', text) });
  }

  /** Body bytes of all requests so far. */
  async received(): Promise<number> {
    const { bytes } = await this.#end.ask<{ readonly bytes: number }>('received');
    return bytes;
  }

  async stop(): Promise<void> {
    await this.#end.stop();
  }
}

/** A result of `StreamLoad.run`: milliseconds from the upstream's write to the client's read. */
export interface StreamRun {
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A result of `StreamLoad.runOpening`: of the streams that were opened beside, milliseconds from their due moment to their text. */
export interface OpeningRun extends StreamRun {
  readonly firstP50Ms: number;
  readonly firstP99Ms: number;
}

/** Both ends of event streams. */
export class StreamLoad {
  readonly #end = new End('stream-ends.ts');
  readonly #wire: UpstreamWireName;
  readonly #caller: CallerWireName;
  #upstream = 0;

  /** @param wire what the upstream writes. @param caller what the clients ask in */
  constructor(wire: UpstreamWireName = 'openai-chat', caller: CallerWireName = 'openai-chat') {
    this.#wire = wire;
    this.#caller = caller;
  }

  /** @returns the port of the upstream */
  async listen(): Promise<number> {
    const asked = { wire: this.#wire };
    const { port } = await this.#end.ask<{ readonly port: number }>('listen', asked);
    this.#upstream = port;
    return port;
  }

  /** Opens further streams through a peer, null for straight to the upstream; resolves when each had an event. */
  async open(port: number, peer: Peer | null, streams: number): Promise<void> {
    await this.#end.ask('open', {
      port,
      key: peer?.key ?? 'sk-own',
      fields: peer?.fields(this.#upstream) ?? '',
      caller: this.#caller,
      path: peer?.path ?? null,
      model: peer?.model ?? MODEL,
      streams,
    });
  }

  /**
   * Events over all streams in turn, at a constant rate; resolves when the last one has arrived.
   * @param atOnce events of one stream that are one write
   */
  async run(perSecond: number, seconds: number, atOnce = 1): Promise<StreamRun> {
    return await this.#end.ask('run', { perSecond, seconds, atOnce, openedPerSecond: 0 });
  }

  /** As `run`, while further streams are opened beside, which end behind their first text. */
  async runOpening(
    perSecond: number,
    seconds: number,
    openedPerSecond: number,
  ): Promise<OpeningRun> {
    return await this.#end.ask('run', { perSecond, seconds, atOnce: 1, openedPerSecond });
  }

  /** Ends all streams. @throws when one of them lacked an event, or a clean end */
  async close(): Promise<void> {
    const { exact: _, ...wrong } = await this.#end.ask<Record<string, number>>('close');
    if (Object.keys(wrong).length > 0) throw new Error(`streams ended: ${JSON.stringify(wrong)}`);
  }

  async stop(): Promise<void> {
    await this.#end.stop();
  }
}

/** What wrk saw: requests as fast as answers come. */
interface Flood {
  readonly requests: number;
  readonly perSecond: number;
}

/** wrk takes a fifth of what a generator on Node takes, so that on few cores it is not what is measured. */
export async function flood(
  requests: Requests,
  caller: readonly [path: string, key: string],
  connections: number,
  seconds: number,
): Promise<Flood> {
  const [path, key] = caller;
  const script = join(FOLDER, 'post.lua');
  const fields = requests.fields
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => line.split(': '))
    .map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  writeFileSync(
    script,
    `wrk.method = "POST"; wrk.path = "${path}"; wrk.body = [==[${requests.body}]==]
wrk.headers["content-type"] = "application/json"; wrk.headers["authorization"] = "Bearer ${key}"
${fields.join('\n')}
done = function(summary)
  io.write(string.format("RESULT %d %f %d\\n", summary.requests, summary.duration / 1e6, summary.errors.status))
end`,
  );
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', script];
  const { child } = new Running('wrk', [...args, `http://127.0.0.1:${requests.port}`]);
  let text = '';
  child.stdout?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await once(child, 'close');
  const [, total, took, failed] = /RESULT (\S+) (\S+) (\S+)/.exec(text)?.map(Number) ?? [];
  if (total === undefined || took === undefined || failed !== 0)
    throw new Error(`wrk was refused, or failed: ${text}`);
  return { requests: total, perSecond: total / took };
}

/** Runs something and tells what it cost a process, in microseconds. */
export async function cpuOf<Result>(
  pid: number,
  run: () => Promise<Result>,
): Promise<{ readonly cpuUs: number; readonly result: Result }> {
  const before = cpuMicros(pid);
  const result = await run();
  return { cpuUs: cpuMicros(pid) - before, result };
}

/** A second that costs less than this share of the cheapest one before says that a peer is still getting warm. */
const WARMER = 0.95;
/** Seconds without that, in a row, that make it warm. */
const WARM_AFTER = 4;
const WARM_MAX_SECONDS = 16;

/**
 * Loads a process until it gets no cheaper: compilers of code that runs often take seconds, more on a busy machine.
 *
 * @param second about a second of load; `units` are what it did
 * @returns what the last second gave
 */
export async function warm<Result extends { readonly units: number }>(
  pid: number,
  second: () => Promise<Result>,
): Promise<Result> {
  let cheapest = Number.POSITIVE_INFINITY;
  let since = 0;
  for (let made = 1; ; made++) {
    const { cpuUs, result } = await cpuOf(pid, second);
    const each = cpuUs / result.units;
    since = each < cheapest * WARMER ? 0 : since + 1;
    cheapest = Math.min(cheapest, each);
    if (since === WARM_AFTER || made === WARM_MAX_SECONDS) return result;
  }
}

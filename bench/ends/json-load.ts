/**
 * Makes requests over raw sockets: as fast as answers come (closed loop), or at a constant rate (open loop).
 * node bench/ends/json-load.ts, driven by jobs on stdin (`bench/load.ts`).
 */

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { percentile } from '../statistics.ts';
import { type Answer, answerJobs, nowMs } from './jobs.ts';
import { Lane, type LaneOwner } from './lane.ts';
import { OpenLoop } from './open-loop.ts';

/** Connections that an open loop opens at most; a peer that needs more has lost its race anyway. */
const LANES_MAX = 1_024;
/** What an open loop waits for answers when its time is over. */
const PATIENCE_MS = 5_000;
/** From starting the ticker to the first request. */
const THREAD_START_MS = 100;
/** Connections opened at once, so that no accept queue overflows. */
const BATCH = 100;

interface Target {
  readonly port: number;
  readonly fields: string;
  /** A file that is the body. */
  readonly body: string;
  /** A file of lines `path TAB key`, asked for in turn. */
  readonly callers: string;
}

let port = 0;
let requestOf: (index: number) => Buffer = () => Buffer.alloc(0);
/** Goes on from job to job, so that a sequence of callers is gone through once. */
let sequence = 0;

function target(asked: Target): Answer {
  port = asked.port;
  const callers = readFileSync(asked.callers, 'latin1').trimEnd().split('\n');
  const body = readFileSync(asked.body);
  const fields = `${asked.fields}content-type: application/json\r\ncontent-length: ${body.length}`;
  const request = (line: string): Buffer => {
    const [path, key] = line.split('\t');
    const head = `POST ${path} HTTP/1.1\r\nhost: s\r\nauthorization: Bearer ${key}\r\n${fields}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head, 'latin1'), body]);
  };
  const only = callers.length === 1 ? request(callers[0] ?? '') : null;
  requestOf = (index) => only ?? request(callers[index % callers.length] ?? '');
  sequence = 0;
  return { callers: callers.length };
}

const lanes = new Set<Lane>();
const idle: Lane[] = [];
let counts = { answered: 0, refused: 0, broken: 0 };
let onAnswer: (lane: Lane) => void = () => {};
let onClose: (lane: Lane) => void = () => {};

const owner: LaneOwner = {
  answered(lane, status) {
    counts.answered++;
    if (status !== 200) counts.refused++;
    onAnswer(lane);
  },
  closed(lane, wasBusy) {
    lanes.delete(lane);
    const at = idle.indexOf(lane);
    if (at !== -1) idle.splice(at, 1);
    if (wasBusy) {
      counts.broken++;
      onClose(lane);
    }
  },
};

/** Fresh connections, each with one request behind it: peers close those that were idle for long. */
async function connect(connections: number): Promise<Answer> {
  for (const lane of lanes) lane.close();
  lanes.clear();
  idle.length = 0;
  for (let made = 0; made < connections; made += BATCH) {
    const batch = Math.min(BATCH, connections - made);
    await new Promise<void>((resolve, reject) => {
      let open = 0;
      onClose = () => reject(new Error('a connection broke while it was opened'));
      onAnswer = (lane) => {
        idle.push(lane);
        if (++open === batch) resolve();
      };
      for (let i = 0; i < batch; i++)
        lanes.add(new Lane(port, owner, (lane) => lane.send(requestOf(sequence++), -1)));
    });
  }
  return { connections: idle.length };
}

/** Ends after `requests`, or after `seconds` when that is 0; every request that was begun is waited for. */
async function closed(requests: number, seconds: number): Promise<Answer> {
  counts = { answered: 0, refused: 0, broken: 0 };
  const began = nowMs();
  const endMs = requests > 0 ? Number.POSITIVE_INFINITY : began + seconds * 1_000;
  const most = requests > 0 ? requests : Number.POSITIVE_INFINITY;
  let begun = 0;
  let busy = 0;
  await new Promise<void>((resolve, reject) => {
    const next = (lane: Lane): void => {
      if (begun >= most || nowMs() >= endMs) {
        idle.push(lane);
        return;
      }
      begun++;
      busy++;
      lane.send(requestOf(sequence++), -1);
    };
    onClose = () => reject(new Error('a connection broke'));
    onAnswer = (lane) => {
      busy--;
      next(lane);
      if (busy === 0) resolve();
    };
    for (const lane of idle.splice(0)) next(lane);
  });
  return { ...counts, seconds: (nowMs() - began) / 1_000 };
}

/** One open loop over whatever lanes are free; opens more while none is, and lets requests wait beyond that. */
class OpenRun {
  readonly loop: OpenLoop;
  /** How late requests were sent that found a lane, in milliseconds: the generator's own part of the latencies. */
  readonly lateness: number[] = [];
  readonly #waiting: number[] = [];

  constructor(loop: OpenLoop) {
    this.loop = loop;
  }

  sendDue(): void {
    for (;;) {
      const index = this.loop.take(nowMs());
      if (index === -1) return;
      const lane = idle.shift();
      if (lane !== undefined) {
        this.lateness.push(nowMs() - this.loop.dueMs(index));
        lane.send(requestOf(sequence++), index);
      } else {
        this.#waiting.push(index);
        if (lanes.size < LANES_MAX) lanes.add(new Lane(port, owner, (made) => this.free(made)));
      }
    }
  }

  free(lane: Lane): void {
    const index = this.#waiting.shift();
    if (index === undefined) idle.push(lane);
    else lane.send(requestOf(sequence++), index);
  }
}

async function open(ratePerSecond: number, seconds: number): Promise<Answer> {
  counts = { answered: 0, refused: 0, broken: 0 };
  const total = Math.round(ratePerSecond * seconds);
  const loop = new OpenLoop(ratePerSecond, total);
  const run = new OpenRun(loop);
  const beginMs = nowMs() + THREAD_START_MS;
  loop.begin(beginMs);
  const ticker = new Worker(new URL('ticker-thread.ts', import.meta.url), {
    workerData: { beginMs, gapMs: 1_000 / ratePerSecond, total },
  });
  await new Promise<void>((resolve) => {
    const giveUp = setTimeout(resolve, seconds * 1_000 + PATIENCE_MS);
    onClose = () => {};
    onAnswer = (lane) => {
      loop.answered(lane.index, nowMs());
      run.free(lane);
      if (!loop.isOver) return;
      clearTimeout(giveUp);
      resolve();
    };
    ticker.on('message', () => run.sendDue());
  });
  await ticker.terminate();
  const sorted = loop.latenciesMs(nowMs());
  return {
    ...counts,
    unanswered: loop.unanswered,
    lanes: lanes.size,
    lateMs: percentile(
      run.lateness.sort((a, b) => a - b),
      0.99,
    ),
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
  };
}

const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

answerJobs({
  target: (asked) => target(asked as unknown as Target),
  connect: ({ connections }) => connect(number(connections)),
  closed: ({ requests, seconds }) => closed(number(requests), number(seconds)),
  open: ({ ratePerSecond, seconds }) => open(number(ratePerSecond), number(seconds)),
});

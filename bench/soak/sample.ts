import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import type { Gateway } from '../../test/support/gateway.ts';
import type { Metrics } from '../../test/support/metrics.ts';
import { cpuMicros } from '../process-cpu.ts';
import { quantile } from './trend.ts';

/** The gateway at one moment, and what it did since the one before. */
export interface Sample {
  /** Since the traffic began. */
  readonly seconds: number;
  readonly rssMiB: number;
  readonly fds: number;
  readonly inFlight: number;
  readonly streams: number;
  readonly requestsPerSecond: number;
  readonly cpuUsPerRequest: number;
  readonly factsPerSecond: number;
  /** Of a request that the gateway answers by itself, on a connection of its own: its event loops' delay, from outside. */
  readonly trivialP50Ms: number;
  readonly trivialP99Ms: number;
  /** Answers since the sample before, by what they say of the gateway's surroundings. */
  readonly rejections: number;
  readonly clientsGone: number;
  readonly upstreamErrors: number;
}

const MIB = 1_048_576;
/** Twenty a second: few enough to be no load, enough for a p99 of 10 s. */
const TRIVIAL_EVERY_MS = 50;

/** Open descriptors of a process. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Takes samples of one gateway. */
export class Sampler {
  readonly #gateway: Gateway;
  readonly #pid: number;
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  #trivialMs: number[] = [];
  #before: Counted | null = null;
  readonly samples: Sample[] = [];

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#pid = gateway.child.pid ?? 0;
    this.#timer = setInterval(() => this.#ask(), TRIVIAL_EVERY_MS);
  }

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** @returns null for the first one, which only begins the counting */
  async take(): Promise<Sample | null> {
    const metrics = await this.#gateway.metrics();
    const now = counted(metrics, this.seconds, cpuMicros(this.#pid));
    const before = this.#before;
    this.#before = now;
    const trivialMs = this.#trivialMs.splice(0);
    if (before === null) return null;
    const seconds = now.seconds - before.seconds;
    const requests = now.requests - before.requests;
    const sample: Sample = {
      seconds: now.seconds,
      rssMiB: this.#gateway.rssBytes() / MIB,
      fds: openFiles(this.#pid),
      inFlight: metrics.get('ai_requests_in_flight'),
      streams: metrics.get('ai_active_streams'),
      requestsPerSecond: requests / seconds,
      cpuUsPerRequest: (now.cpuUs - before.cpuUs) / Math.max(1, requests),
      factsPerSecond: (now.facts - before.facts) / seconds,
      trivialP50Ms: quantile(trivialMs, 0.5),
      trivialP99Ms: quantile(trivialMs, 0.99),
      rejections: now.rejections - before.rejections,
      clientsGone: now.clientsGone - before.clientsGone,
      upstreamErrors: now.upstreamErrors - before.upstreamErrors,
    };
    this.samples.push(sample);
    return sample;
  }

  #ask(): void {
    const beganMs = performance.now();
    const { port } = this.#gateway;
    const asked = request({ port, host: '127.0.0.1', path: '/', agent: false }, (response) => {
      response.on('end', () => this.#trivialMs.push(performance.now() - beganMs)).resume();
    });
    asked.on('error', () => {}).end();
  }
}

/** What only grows. */
interface Counted {
  readonly seconds: number;
  readonly cpuUs: number;
  readonly requests: number;
  readonly facts: number;
  readonly rejections: number;
  readonly clientsGone: number;
  readonly upstreamErrors: number;
}

function counted(metrics: Metrics, seconds: number, cpuUs: number): Counted {
  const ended = (outcome: string): number =>
    metrics.get(`ai_exchanges_settled_total{outcome="${outcome}"}`);
  return {
    seconds,
    cpuUs,
    requests: metrics.get('ai_requests_total'),
    facts: metrics.sum('ai_usage_facts_total'),
    rejections: metrics.sum('ai_rejections_total'),
    clientsGone: ended('client_gone'),
    upstreamErrors: ended('upstream_cut') + ended('upstream_error'),
  };
}

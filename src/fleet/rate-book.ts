/**
 * What each node of a fleet is asked for, and this one's share of every limit by it: pure but for the table of limits that it
 * reads and writes. Rows have the same print on all nodes, so that no name is told.
 *
 * What is told is demand, a rate over the last seconds, and not a total: a message that is lost, comes twice, or is of a node
 * that began anew needs no care then.
 */

import { type LimitTable, type MinuteUnit, ROWS } from '../policy/limit-table.ts';
import { rateShare } from './rate-share.ts';

/** The time constant of demand, in milliseconds. */
const DEMAND_MS = 5_000;

/** A node that says nothing for so long is gone, in milliseconds: it tells once a second. */
const GONE_MS = 3_500;

/** Nodes that are listened to; more are as if they were not there. */
const NODES_MAX = 256;

const VERSION = 1;
const HEAD_BYTES = 8;
/** Print, requests a second, tokens a second. */
const ROW_BYTES = 16;
/** What one message may have of rows, by nats-server's max_payload of 1 MiB; all rows of a table are half of that. */
const MESSAGE_ROWS = Math.min(ROWS, 65_000);
/** Less than one request in a quarter of an hour is nothing. */
const LEAST = 1 / 900;

const UNITS: readonly MinuteUnit[] = ['requests', 'tokens'];

interface Heard {
  readonly atMs: number;
  /** By print: demand of requests and of tokens. */
  readonly demand: ReadonlyMap<bigint, readonly [requests: number, tokens: number]>;
}

export class RateBook {
  readonly #table: LimitTable;
  readonly #others = new Map<string, Heard>();
  readonly #seen = new Int32Array(ROWS * 2);
  readonly #demand = new Float64Array(ROWS * 2);
  #measuredMs: number;

  constructor(table: LimitTable, nowMs: number) {
    this.#table = table;
    this.#measuredMs = nowMs;
  }

  /** This one too. */
  get nodes(): number {
    return this.#others.size + 1;
  }

  /** What this node was asked for lately, to be told to the others. */
  measure(nowMs: number): Buffer {
    const tookMs = nowMs - this.#measuredMs;
    this.#measuredMs = nowMs;
    const weight = tookMs <= 0 ? 0 : 1 - Math.exp(-tookMs / DEMAND_MS);
    const rows: number[] = [];
    for (let row = 0; row < ROWS; row++) {
      if (this.#table.printOf(row) === 0n) continue;
      let isAsked = false;
      for (const [half, unit] of UNITS.entries()) {
        const at = row * 2 + half;
        const asked = this.#table.askedSoFar(row, unit);
        const rate = tookMs <= 0 ? 0 : (((asked - (this.#seen[at] ?? 0)) >>> 0) * 1_000) / tookMs;
        this.#seen[at] = asked;
        const before = this.#demand[at] ?? 0;
        const demand = before + (rate - before) * weight;
        this.#demand[at] = demand < LEAST ? 0 : demand;
        if (demand >= LEAST) isAsked = true;
      }
      if (isAsked && rows.length < MESSAGE_ROWS) rows.push(row);
    }
    return this.#encoded(rows);
  }

  #encoded(rows: readonly number[]): Buffer {
    const message = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES);
    message.writeUInt8(VERSION, 0);
    let at = HEAD_BYTES;
    for (const row of rows) {
      message.writeBigInt64LE(this.#table.printOf(row), at);
      message.writeFloatLE(this.#demand[row * 2] ?? 0, at + 8);
      message.writeFloatLE(this.#demand[row * 2 + 1] ?? 0, at + 12);
      at += ROW_BYTES;
    }
    return message;
  }

  /**
   * What another node tells of itself. Of another version or broken: nothing.
   * @param message empty: it ends
   * @returns whether it was not known before
   */
  hear(node: string, message: Uint8Array, nowMs: number): boolean {
    if (message.length === 0) {
      this.#others.delete(node);
      return false;
    }
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
    if (bytes[0] !== VERSION || (bytes.length - HEAD_BYTES) % ROW_BYTES !== 0) return false;
    const isNew = !this.#others.has(node);
    if (isNew && this.#others.size >= NODES_MAX) return false;
    const demand = new Map<bigint, readonly [number, number]>();
    for (let at = HEAD_BYTES; at < bytes.length; at += ROW_BYTES)
      demand.set(bytes.readBigInt64LE(at), [bytes.readFloatLE(at + 8), bytes.readFloatLE(at + 12)]);
    this.#others.set(node, { atMs: nowMs, demand });
    return isNew;
  }

  /** Sets this node's share of every limit. Not called while NATS is away: the last shares hold. */
  share(nowMs: number): void {
    for (const [node, { atMs }] of this.#others)
      if (nowMs - atMs > GONE_MS) this.#others.delete(node);
    this.#table.shareAll(1 / this.nodes);
    if (this.nodes === 1) return;
    for (let row = 0; row < ROWS; row++) {
      const print = this.#table.printOf(row);
      if (print !== 0n) this.#shareRow(row, print);
    }
  }

  #shareRow(row: number, print: bigint): void {
    for (const [half, unit] of UNITS.entries()) {
      const own = this.#demand[row * 2 + half] ?? 0;
      let sum = own;
      const others: number[] = [];
      for (const { demand } of this.#others.values()) {
        const theirs = demand.get(print)?.[half] ?? 0;
        others.push(theirs);
        sum += theirs;
      }
      this.#table.shareOne(row, unit, sum === 0 ? null : rateShare(own, others));
    }
  }
}

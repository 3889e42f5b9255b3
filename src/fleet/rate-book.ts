/**
 * What each node of a fleet is asked for, and this one's share of every limit by it: pure but for the table of limits that it
 * reads and writes. Rows have the same print on all nodes, so that no name is told.
 *
 * What is told is demand, a rate over the last seconds, and how full each bucket is, and no total: a message that is lost, comes
 * twice, or is of a node that began anew needs no care then.
 */

import { type LimitTable, type MinuteUnit, NO_ROW, ROWS } from '../policy/limit-table.ts';
import { rateShare, type TheirRate } from './rate-share.ts';

/** The time constant of demand, in milliseconds. */
const DEMAND_MS = 5_000;

/** A node that says nothing for so long is gone, in milliseconds: it tells once a second. */
const GONE_MS = 3_500;

/** Nodes that are listened to; more are as if they were not there. */
const NODES_MAX = 256;

const VERSION = 2;
const HEAD_BYTES = 8;
/** Print, requests a second, tokens a second, and how full both are, a byte each. */
const ROW_BYTES = 18;
/** What one message may have of rows, by nats-server's max_payload of 1 MiB; all rows of a table are not much over half of that. */
const MESSAGE_ROWS = Math.min(ROWS, 58_000);
const FULL = 255;
/** Shares are kept in millionths: less is rounding. */
const GROWTH = 0.000_01;
/** Whoever says nothing of a limit was not asked for it for a while, in which all of it came back. */
const UNASKED: TheirRate = { demand: 0, fullness: 1 };
/** Less than one request in a quarter of an hour is nothing. */
const LEAST = 1 / 900;

const UNITS: readonly MinuteUnit[] = ['requests', 'tokens'];

interface Heard {
  readonly atMs: number;
  /** By print: of requests and of tokens. */
  readonly rates: ReadonlyMap<bigint, readonly [requests: TheirRate, tokens: TheirRate]>;
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

  /**
   * What this node was asked for lately, to be told to the others.
   * @param nowMs here and below of the clock that the table goes by, `monotonicUs`
   */
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
    return this.#encoded(rows, nowMs);
  }

  #encoded(rows: readonly number[], nowMs: number): Buffer {
    const message = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES);
    message.writeUInt8(VERSION, 0);
    let at = HEAD_BYTES;
    for (const row of rows) {
      message.writeBigInt64LE(this.#table.printOf(row), at);
      message.writeFloatLE(this.#demand[row * 2] ?? 0, at + 8);
      message.writeFloatLE(this.#demand[row * 2 + 1] ?? 0, at + 12);
      for (const [half, unit] of UNITS.entries())
        message[at + 16 + half] = Math.floor(this.#table.fullness(row, unit, nowMs * 1_000) * FULL);
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
    const rates = new Map<bigint, readonly [TheirRate, TheirRate]>();
    for (let at = HEAD_BYTES; at < bytes.length; at += ROW_BYTES) {
      const of = (half: number): TheirRate => ({
        demand: bytes.readFloatLE(at + 8 + half * 4),
        fullness: (bytes[at + 16 + half] ?? 0) / FULL,
      });
      rates.set(bytes.readBigInt64LE(at), [of(0), of(1)]);
    }
    this.#others.set(node, { atMs: nowMs, rates });
    // A limit that others are asked for and this node was not: whoever comes finds its share, not that of all nodes.
    for (const print of rates.keys()) {
      const { row, isNew: isFirst } = this.#table.placePrint(print);
      if (isFirst && row !== NO_ROW) this.#shareRow(row, print, nowMs);
    }
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
      if (print !== 0n) this.#shareRow(row, print, nowMs);
    }
  }

  #shareRow(row: number, print: bigint, nowMs: number): void {
    for (const [half, unit] of UNITS.entries()) {
      const own = this.#demand[row * 2 + half] ?? 0;
      const others: TheirRate[] = [];
      let isAsked = own > 0;
      for (const { rates } of this.#others.values()) {
        const theirs = rates.get(print)?.[half] ?? UNASKED;
        others.push(theirs);
        if (theirs.demand > 0) isAsked = true;
      }
      if (!isAsked) {
        this.#table.shareOne(row, unit, null);
        continue;
      }
      const { share, fullness } = rateShare(own, others);
      const grows = share - this.#table.share(row, unit) > GROWTH;
      // A share that grew by itself would be full of what nobody gave it; the next round is a second away.
      if (grows && !this.#table.refill(row, unit, nowMs * 1_000, share, fullness)) continue;
      this.#table.shareOne(row, unit, share);
    }
  }
}

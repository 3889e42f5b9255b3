import { connect, type NatsConnection } from 'nats';
import { BudgetCalendar } from '../../src/budget/budget-calendar.ts';
import { BudgetKeeper } from '../../src/budget/budget-keeper.ts';
import { BudgetTable, type Claim, NO_ROW, rowName } from '../../src/budget/budget-table.ts';
import { FleetGrants } from '../../src/fleet/fleet-grants.ts';
import { NatsGrants } from '../../src/fleet/nats-grants.ts';
import type { Log } from '../../src/outlet/log.ts';
import { pause, until } from './conditions.ts';
import { BUCKET, type NatsServer } from './nats.ts';

const SILENT: Log = { write: () => {} };
const UTC = new BudgetCalendar('UTC');

/** How long a request waits for a grant, in milliseconds: long, where a test is not about the wait. */
const WAIT_MS = 10_000;

interface FleetNodeOptions {
  readonly nats: NatsServer;
  readonly name: string;
  readonly withoutNats?: 'closed' | 'open';
  readonly skewMs?: number;
  readonly folder?: string;
}

/** The main thread of one node, and one worker that spends. */
export class FleetNode {
  readonly keeper: BudgetKeeper;
  readonly table: BudgetTable;
  readonly grants: FleetGrants;
  readonly #store: NatsGrants;
  readonly #now: () => number;
  readonly #nats: NatsServer;
  #connection: NatsConnection | null = null;
  #isStopped = false;
  isCutOff = false;
  /** Its clock is ahead by so much, in milliseconds. */
  skewMs: number;
  /** What its requests cost, whoever counted it. */
  spent = 0;

  constructor({ nats, name, withoutNats = 'closed', skewMs = 0, folder }: FleetNodeOptions) {
    this.#nats = nats;
    this.skewMs = skewMs;
    this.#now = () => Date.now() + this.skewMs;
    this.#store = new NatsGrants(BUCKET, () => (this.isCutOff ? null : this.#connection), SILENT);
    this.grants = new FleetGrants({
      node: name,
      store: this.#store,
      log: SILENT,
      withoutNats: () => withoutNats,
      folder: folder ?? null,
      nowMs: this.#now,
    });
    this.keeper = new BudgetKeeper(folder ?? null, 1, () => UTC, this.grants, SILENT, this.#now);
    this.table = new BudgetTable(this.keeper.memory, 0);
  }

  /** @param isReachable NATS is there */
  async start(isReachable = true): Promise<this> {
    void this.#connect();
    this.#store.start();
    this.keeper.start();
    if (isReachable) await until('the bucket', () => this.#store.isReachable);
    return this;
  }

  get isReachable(): boolean {
    return this.#store.isReachable;
  }

  /** As the deny-set's feed does: another connection whenever one is gone. */
  async #connect(): Promise<void> {
    while (!this.#isStopped) {
      this.#connection = await connect({ ...this.#nats.client, reconnect: false }).catch(
        () => null,
      );
      await this.#connection?.closed();
      this.#connection = null;
      await pause(50);
    }
  }

  /** One request: reserves, waits for a grant where it must, and costs what `cost` says. */
  async spend(
    scope: string,
    limit: number,
    reserved: number,
    cost: number,
    waitMs = WAIT_MS,
  ): Promise<'done' | 'spent' | 'partition'> {
    const claim: Claim = {
      name: rowName(`key ${scope} day`),
      row: NO_ROW,
      label: UTC.at(this.#now()).day,
      limit,
      enforced: true,
    };
    const endMs = performance.now() + waitMs;
    for (;;) {
      const came = this.table.reserve([claim], reserved);
      if (came.kind === 'taken') break;
      if (came.kind === 'full') throw new Error('no row');
      if (came.of === 'limit') return 'spent';
      this.keeper.met({ scope: 'key', name: scope, window: 'day' });
      if (performance.now() > endMs) return 'partition';
      await pause(5);
    }
    this.table.settle(claim.name, claim.row, claim.label, reserved, cost);
    this.spent += cost;
    return 'done';
  }

  /** What the node may use of a budget beyond what it has used. */
  free(scope: string): number {
    const name = rowName(`key ${scope} day`);
    const row = this.table.find(name);
    const state = row === NO_ROW ? null : this.table.read(name, row);
    return state === null ? 0 : state.granted - state.spent - state.reserved;
  }

  async stop(): Promise<void> {
    await this.keeper.stop(2_000);
    await this.end();
  }

  /** Without a word. */
  async end(): Promise<void> {
    this.#isStopped = true;
    this.#store.stop();
    await this.#connection?.close().catch(() => {});
  }
}

import { hash, randomBytes } from 'node:crypto';
import { Cors } from '../admit/cors.ts';
import { ManagedEndpoints } from '../admit/endpoint.ts';
import type { ModelList } from '../admit/model-list.ts';
import { RateGuard } from '../admit/rate.ts';
import { Router } from '../admit/route.ts';
import { VerifiedTokens } from '../admit/verified-tokens.ts';
import { candidatesOf } from '../budget/alternatives.ts';
import { BudgetCalendar } from '../budget/budget-calendar.ts';
import { BudgetTable } from '../budget/budget-table.ts';
import { DefaultRates } from '../budget/default-rate.ts';
import { OutputSizes } from '../budget/output-sizes.ts';
import type { BudgetMet, SpendingContext } from '../budget/spending.ts';
import type { CacheClient } from '../cache/cache-client.ts';
import type { Config } from '../config/config-document.ts';
import { DenyLookup } from '../deny/deny-table.ts';
import { BackgroundAnswers } from '../exchange/background-answers.ts';
import type { WorkerContext } from '../exchange/exchange.ts';
import { FollowedTable } from '../exchange/followed-table.ts';
import { KeptBudget } from '../exchange/kept-budget.ts';
import type { Recalls } from '../exchange/recalls.ts';
import { Rehearsal } from '../exchange/rehearsal.ts';
import { UnseenAnswers } from '../exchange/unseen-answers.ts';
import { openGuards } from '../guard/registry.ts';
import { type GuardWay, WorkerGuards } from '../guard/worker-guards.ts';
import { signingKeys } from '../keys/signing-keys.ts';
import { TokenRatios } from '../meter/token-ratios.ts';
import { FactGate } from '../outlet/fact-gate.ts';
import { bookPrices } from '../plan/book-prices.ts';
import { Health } from '../plan/health.ts';
import { openPlanner, type Plans } from '../plan/open-planner.ts';
import { Pins } from '../plan/pins.ts';
import { Planner } from '../plan/planner.ts';
import { PrefixWatch } from '../plan/prefix-watch.ts';
import type { PromptBreak } from '../plan/prompt-breaks.ts';
import { LimitTable } from '../policy/limit-table.ts';
import { Limiter } from '../policy/limiter.ts';
import { type EffectivePolicy, PolicyTable } from '../policy/policy-table.ts';
import { RepeatTable } from '../policy/repeat-table.ts';
import { monotonicMs, type RepeatContext } from '../policy/repeats.ts';
import { Pricing } from '../prices/cost.ts';
import { PriceBook, shippedBook } from '../prices/price-book.ts';
import type { Egress } from '../providers/egress.ts';
import { PoolKeys } from '../providers/pool-keys.ts';
import { type Provider, providerTable } from '../providers/providers.ts';
import type { LineRoom } from '../settle/line-writer.ts';
import { MetricsLayout, type Outcome, WorkerMetrics } from '../settle/metrics.ts';
import type { RefusalTally } from '../settle/refusal-tally.ts';
import { type LineSink, Settler } from '../settle/settle.ts';
import { UsageFactLines } from '../settle/usage-fact-lines.ts';
import { FleetQuestions } from '../stored/fleet-questions.ts';
import { StateHomes } from '../stored/state-homes.ts';
import { StoredState } from '../stored/state-table.ts';
import { Deadlines, Ticker } from '../ticker.ts';
import { type OpenTransports, openTransports } from '../upstream/transports.ts';
import { loadJsonScanner } from '../wire/json-scanner.ts';
import type { WorkerStart } from './messages.ts';
import { ModelLists } from './model-lists.ts';

/** The last two places of a request's id: to write all eight of each, and fill them up, was 0.2 of 100 us of a request. */
const LAST_PLACES = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, '0'));

/** How often silent upstreams and idle connections are looked for, in milliseconds: how exact those timeouts are. */
const UPSTREAM_TICK_MS = 500;

/** How exact the routed lane's waits are, in milliseconds; the clock runs only while somebody waits. */
const DEADLINE_PERIOD_MS = 20;

/** Tells the node of a session that breaks its prompt's cache. */
type BrokeCache = (broken: PromptBreak) => void;

/** What a worker thread keeps, whatever its configuration becomes. */
export class ThreadState {
  readonly index: number;
  readonly rates: RateGuard;
  readonly deny: DenyLookup;
  readonly factGate: FactGate;
  readonly tokens: VerifiedTokens;
  readonly scanner = loadJsonScanner();
  readonly ratios = new TokenRatios();
  readonly prices = shippedBook();
  readonly metrics: WorkerMetrics;
  readonly accessLog: LineSink;
  readonly facts: LineRoom;
  readonly refusals: RefusalTally;
  readonly report: (error: unknown) => void;
  readonly brokeCache: BrokeCache;
  /** Questions to the node's ledger. */
  readonly recalls: Recalls;
  /** Questions to the other nodes, for what of stored state this one was not told yet. */
  readonly fleet: FleetQuestions;
  readonly prefixes: PrefixWatch;
  readonly upstreamTicker: Ticker;
  // Unique among all workers and restarts of a fleet, and cheap: random per worker, counted per request.
  readonly #idPrefix = `req_${randomBytes(8).toString('hex')}`;
  #requests = 0;
  /** Of the next ids, all but their last two places: it changes with every 256th request. */
  #idBegin = '';
  /** Shared with all workers; a configuration brings its thresholds. */
  readonly health: Health;
  readonly pins: Pins;
  readonly limits: LimitTable;
  readonly repeats: RepeatContext;
  readonly budgets: BudgetTable;
  readonly budgetMet: BudgetMet;
  readonly outputSizes = new OutputSizes();
  /** Shared with all workers. */
  readonly stored: StoredState;
  readonly replayMemory: SharedArrayBuffer;
  readonly heldMemory: SharedArrayBuffer;
  readonly deadlines = new Deadlines(DEADLINE_PERIOD_MS);
  readonly unseen = new UnseenAnswers(this.deadlines);
  readonly background: BackgroundAnswers;
  /** Null: the cache's thread is not there. */
  cache: CacheClient | null = null;
  readonly guards: WorkerGuards;
  draining = false;
  /** Draining is nearly over: what comes on a kept connection is refused. */
  refusing = false;
  closing: Outcome | null = null;

  constructor(
    start: Omit<WorkerStart, 'document'>,
    accessLog: LineSink,
    facts: LineRoom,
    refusals: RefusalTally,
    report: (error: unknown) => void,
    toldStored: (record: Uint8Array) => void,
    brokeCache: BrokeCache,
    budgetMet: BudgetMet,
    recalls: Recalls,
    askFleet: () => void,
    guardWay: GuardWay,
  ) {
    this.recalls = recalls;
    this.fleet = new FleetQuestions(askFleet, report);
    this.index = start.index;
    this.rates = new RateGuard(start.rates);
    this.deny = new DenyLookup(start.deny);
    this.factGate = new FactGate(start.factGate);
    this.tokens = new VerifiedTokens(new Map(), this.rates, start.tokens);
    this.health = new Health(start.health);
    this.pins = new Pins(start.pins);
    this.limits = new LimitTable(start.limits, start.index);
    this.limits.reset();
    this.budgets = new BudgetTable(start.budgets, start.index);
    this.budgetMet = budgetMet;
    this.stored = new StoredState(start.stored, toldStored);
    this.replayMemory = start.replay;
    this.heldMemory = start.held;
    // What this worker's predecessor had kept went with it.
    new KeptBudget(start.replay, start.index, 0).reset();
    new KeptBudget(start.held, start.index, 0).reset();
    const layout = new MetricsLayout(start.providerSlots);
    this.metrics = new WorkerMetrics(layout, start.memory, start.index);
    this.repeats = {
      table: new RepeatTable(start.repeats, () => this.metrics.repeatRowDropped()),
      counts: this.metrics,
      nowMs: monotonicMs,
    };
    this.accessLog = accessLog;
    this.facts = facts;
    this.refusals = refusals;
    this.report = report;
    this.brokeCache = brokeCache;
    this.prefixes = new PrefixWatch(this.metrics);
    this.upstreamTicker = new Ticker(UPSTREAM_TICK_MS, report);
    this.guards = new WorkerGuards(start, guardWay, this.deadlines);
    const followed = new FollowedTable(start.followed, start.index);
    followed.reset();
    const lines = new UsageFactLines(facts);
    this.background = new BackgroundAnswers({
      table: followed,
      ticker: this.upstreamTicker,
      scanner: this.scanner,
      ratios: this.ratios,
      metrics: this.metrics,
      told: (fact) => {
        this.metrics.metered(fact.source, fact.counts);
        lines.add(fact);
      },
    });
  }

  nextRequestId(): string {
    const last = ++this.#requests % LAST_PLACES.length;
    if (last === 0 || this.#idBegin === '') {
      const places = Math.floor(this.#requests / LAST_PLACES.length).toString(16);
      this.#idBegin = this.#idPrefix + places.padStart(6, '0');
    }
    return this.#idBegin + LAST_PLACES[last];
  }
}

/**
 * Everything that one configuration makes of a worker. A reload makes another one for the exchanges to come; those that
 * run keep theirs, with its keys, its limits and its connections.
 */
export class DataPlane implements WorkerContext {
  readonly router: Router;
  readonly endpoints: ManagedEndpoints;
  readonly policies: PolicyTable;
  readonly #models: ModelLists;
  readonly poolKeys: PoolKeys;
  readonly stored: StateHomes;
  readonly cors: Cors;
  readonly settler: Settler;
  readonly maxRequestBodyBytes: number;
  readonly tls: boolean;
  readonly #thread: ThreadState;
  readonly #maxInFlight: number;
  readonly #keepsLedger: boolean;
  readonly transports: OpenTransports;
  readonly planner: Planner;
  readonly pricing: Pricing;
  readonly replay: KeptBudget;
  readonly held: KeptBudget;
  readonly replayMaxBytes: number;
  readonly generation: string;
  readonly holdMs: number;
  readonly rehearsal: Rehearsal | null;
  /** Of what faults are played with; null where none are. */
  readonly #mock: OpenTransports | null;
  readonly retryAfterMaxMs: number;
  /** Requests of one wire may have to go to providers of another. */
  readonly mayTranslate: boolean;

  /** @param previous whose connections go on where the configuration leaves them as they are */
  constructor(
    thread: ThreadState,
    config: Config,
    slots: readonly string[],
    previous: DataPlane | null,
  ) {
    const providers: readonly Provider[] = providerTable(config.providers, slots);
    this.#thread = thread;
    this.router = new Router(providers);
    const keys = signingKeys(config.signingKeys);
    this.endpoints = new ManagedEndpoints(
      providers,
      config.managedEndpoints,
      config.managedPrefixes,
    );
    this.cors = new Cors(config.corsOrigins);
    this.poolKeys = new PoolKeys(providers, config.poolKeys, thread.index);
    const asked = providers.filter((provider) => this.poolKeys.of(provider).length > 0);
    const spoken = new Set(asked.flatMap(({ wires }) => wires));
    this.mayTranslate = asked.some(({ wires }) => wires.length < Math.max(1, spoken.size));
    const allowsUnknown = config.foreignState === 'allow';
    this.stored = new StateHomes(
      thread.stored,
      providers,
      this.poolKeys,
      allowsUnknown,
      config.natsUrl === null ? null : thread.fleet,
    );
    this.settler = new Settler(
      thread.metrics,
      config.accessLog ? thread.accessLog : null,
      thread.facts,
      thread.refusals,
    );
    this.maxRequestBodyBytes = config.maxRequestBodyBytes;
    this.tls = config.tlsCertFile !== null;
    this.#maxInFlight = config.maxInFlight;
    this.#keepsLedger = config.ledger && config.dataDir !== null;
    this.pricing = new Pricing(new PriceBook(thread.prices, config.pricing));
    const { routing } = config;
    const plans = openPlanner(
      routing,
      providers,
      this.poolKeys,
      thread.health,
      thread.pins,
      bookPrices(this.pricing.book),
      Planner,
    );
    this.planner = plans.planner;
    this.#models = new ModelLists(plans);
    // Made here and not for the first caller: who may ask for all is most of them.
    this.#models.of(null);
    this.policies = new PolicyTable(
      config.policy,
      (name) => plans.table.target(name)?.name ?? name,
      new Limiter(thread.limits, config.policy.limits, thread.metrics),
      this.#spending(config, plans),
      thread.repeats,
      openGuards(config.guards, thread.guards),
    );
    this.replay = new KeptBudget(thread.replayMemory, thread.index, routing.replayMemoryBytes);
    this.held = new KeptBudget(thread.heldMemory, thread.index, routing.holdMemoryBytes);
    this.replayMaxBytes = routing.replayMaxBytes;
    this.holdMs = routing.holdMs;
    this.generation = generationOf(config, providers);
    this.retryAfterMaxMs = routing.retryAfterMaxMs;
    const opened = previous === null ? null : previous.transports;
    this.transports = openTransports(
      providers,
      {
        egress: config.egress,
        ticker: thread.upstreamTicker,
        report: thread.report,
        workers: config.workers,
        worker: thread.index,
        watch: ({ index }) => thread.metrics.queueOf(index),
      },
      opened,
    );
    this.#mock = openMock(config, thread, previous === null ? null : previous.#mock);
    this.rehearsal = this.#mock === null ? null : new Rehearsal(this, this.#mock);
    // Last, when nothing can fail any more: a plane that could not be made leaves the thread as the old one needs it.
    thread.tokens.replaceKeys(keys);
    thread.health.settings = routing.breaker;
  }

  #spending(
    { budgets }: Config,
    { prices, table: { targets } }: Pick<Plans, 'prices' | 'table'>,
  ): SpendingContext {
    const { budgets: table, budgetMet, metrics, outputSizes } = this.#thread;
    const { book } = this.pricing;
    return {
      table,
      calendar: new BudgetCalendar(budgets.timeZone),
      book,
      models: prices,
      defaults: new DefaultRates(book),
      sizes: outputSizes,
      counts: metrics,
      met: budgetMet,
      status: budgets.status,
      assumedOutputTokens: budgets.assumedOutputTokens,
      candidates: candidatesOf(targets, (provider) => this.poolKeys.of(provider).length > 0),
      now: Date.now,
    };
  }

  get ownsCors(): boolean {
    return this.cors.isOn;
  }

  get rates(): RateGuard {
    return this.#thread.rates;
  }

  get tokens(): VerifiedTokens {
    return this.#thread.tokens;
  }

  get deny(): DenyLookup {
    return this.#thread.deny;
  }

  modelsOf({ models }: EffectivePolicy): ModelList {
    return this.#models.of(models);
  }

  get keepsFacts(): boolean {
    return this.#thread.factGate.isOpen;
  }

  get recalls(): Recalls | null {
    return this.#keepsLedger ? this.#thread.recalls : null;
  }

  get background(): BackgroundAnswers {
    return this.#thread.background;
  }

  get unseen(): UnseenAnswers {
    return this.#thread.unseen;
  }

  get cache(): CacheClient | null {
    return this.#thread.cache;
  }

  get deadlines(): Deadlines {
    return this.#thread.deadlines;
  }

  get scanner() {
    return this.#thread.scanner;
  }

  get ratios(): TokenRatios {
    return this.#thread.ratios;
  }

  get prefixes(): PrefixWatch {
    return this.#thread.prefixes;
  }

  get metrics(): WorkerMetrics {
    return this.#thread.metrics;
  }

  get draining(): boolean {
    return this.#thread.draining;
  }

  get refusing(): boolean {
    return this.#thread.refusing;
  }

  get closing(): Outcome | null {
    return this.#thread.closing;
  }

  full(): boolean {
    // The request that asks is counted already.
    return this.#maxInFlight > 0 && this.metrics.nodeInFlight() > this.#maxInFlight;
  }

  sheds({ share, keyClass }: EffectivePolicy): boolean {
    if (this.#maxInFlight === 0) return false;
    const places = Math.max(1, Math.floor(this.#maxInFlight * share));
    if (this.metrics.nodeInFlight() <= places) return false;
    this.metrics.classShed(keyClass);
    return true;
  }

  nextRequestId(): string {
    return this.#thread.nextRequestId();
  }

  report(error: unknown): void {
    this.#thread.report(error);
  }

  brokeCache(broken: PromptBreak): void {
    this.#thread.brokeCache(broken);
  }
}

/**
 * What names lead to, and what guards do, as one text: what was answered under another configuration of it is not told again. Breakers, weights and
 * times are in it too, because an answer that is made once more costs little, and one of another model's is wrong.
 */
function generationOf(
  { routing, poolKeys, guards }: Config,
  providers: readonly Provider[],
): string {
  const named = providers.map(({ name, authority, wires, prefixes }) => [
    name,
    authority,
    wires,
    prefixes,
    poolKeys.get(name)?.length ?? 0,
  ]);
  const plain = (_name: string, value: unknown): unknown =>
    value instanceof Map ? [...value] : value;
  return hash('sha256', JSON.stringify([routing, named, guards], plain), 'base64url');
}

/** The way to the mock that plays faults: every provider's. */
function openMock(
  { rehearseAuthority, connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs }: Config,
  thread: ThreadState,
  previous: OpenTransports | null,
): OpenTransports | null {
  const name = 'rehearsal';
  const rows = rehearseAuthority === null ? [] : [{ name, authority: rehearseAuthority }];
  const mock = providerTable(rows).find((row) => row.name === name);
  const way: Egress = {
    transport: 'h1',
    http2: false,
    proxy: null,
    wayBecause: 'rehearse_authority',
    caFiles: [],
    clientCertFile: null,
    clientKeyFile: null,
    connectTimeoutMs,
    firstByteTimeoutMs,
    idleTimeoutMs,
    maxProviderConnections: 0,
    maxProviderQueue: 0,
  };
  const opened = openTransports(
    mock === undefined ? [] : [mock],
    {
      egress: new Map([[name, way]]),
      ticker: thread.upstreamTicker,
      report: thread.report,
      workers: 1,
      worker: 0,
      watch: () => ({ waiting() {}, turnedAway() {} }),
    },
    previous,
  );
  return mock === undefined ? null : { ...opened, of: () => opened.of(mock) };
}

import type { NatsConnection } from 'nats';
import { createRateTable, setRateLimits } from '../admit/rate.ts';
import { createTokenTable } from '../admit/token-table.ts';
import { BudgetCalendar } from '../budget/budget-calendar.ts';
import { BudgetKeeper } from '../budget/budget-keeper.ts';
import { BudgetWebhook } from '../budget/budget-webhook.ts';
import { WholeBudgets } from '../budget/grant-source.ts';
import { CacheKeeper } from '../cache/cache-keeper.ts';
import { type ConfigSource, type LoadedConfig, loadConfig } from '../config/config.ts';
import type { Config, ConfigDocument, ListenAddress } from '../config/config-document.ts';
import { ConsoleSwitch } from '../console/console-switch.ts';
import { DenyKeeper } from '../deny/deny-keeper.ts';
import { denySource } from '../deny/deny-source.ts';
import { createDenyTable } from '../deny/deny-table.ts';
import { createFollowedTable } from '../exchange/followed-table.ts';
import { createKeptMemory } from '../exchange/kept-budget.ts';
import { FleetGrants } from '../fleet/fleet-grants.ts';
import { FleetRates } from '../fleet/fleet-rates.ts';
import { NatsGrants } from '../fleet/nats-grants.ts';
import { nodeName } from '../fleet/node-name.ts';
import { NodeGuards } from '../guard/node-guards.ts';
import { LedgerKeeper } from '../ledger/ledger-keeper.ts';
import { createFactGate, FactGate } from '../outlet/fact-gate.ts';
import { FactSpill } from '../outlet/fact-spill.ts';
import { LineOutlet } from '../outlet/line-outlet.ts';
import { NodeLog } from '../outlet/log.ts';
import { openStdout } from '../outlet/stdout.ts';
import { type EffectiveConfig, loadEffective } from '../overlay/effective-config.ts';
import { OverlayKeeper } from '../overlay/overlay-keeper.ts';
import { createHealthTable } from '../plan/health.ts';
import { createPinTable } from '../plan/pins.ts';
import { PromptBreaks } from '../plan/prompt-breaks.ts';
import { createLimitTable, LimitTable } from '../policy/limit-table.ts';
import { purseStates } from '../policy/purse-states.ts';
import { createRepeatTable } from '../policy/repeat-table.ts';
import { providerTable } from '../providers/providers.ts';
import type { RateLimits } from '../rate-limits.ts';
import { Secret } from '../secret.ts';
import { exposition } from '../settle/exposition.ts';
import { GUARD_COUNTS, MetricsLayout } from '../settle/metrics.ts';
import { NodeCounts } from '../settle/node-counts.ts';
import { StateKeeper } from '../stored/state-keeper.ts';
import { VERSION } from '../version.ts';
import { openAdmin } from './admin.ts';
import { banner } from './banner.ts';
import { CacheView } from './cache-view.ts';
import { claimPort } from './claimed-port.ts';
import { terminalWatch, whenLauncherLeaves } from './launcher.ts';
import { OwnCommands } from './own-commands.ts';
import { type NodeFacts, readyState } from './readiness.ts';
import { RefusalList } from './refusal-list.ts';
import { Reloader } from './reload.ts';
import { RoutingView } from './routing-view.ts';
import { Supervisor } from './supervisor.ts';
import type { WarmThread } from './worker-thread.ts';

/** Closing every connection is a few loop turns; after this the process ends the hard way. Milliseconds. */
const CLOSE_LIMIT_MS = 3_000;

/** Signals closer together than this are one, in milliseconds. */
const SAME_SIGNAL_MS = 500;

/** What a shell and a container runtime show of a process that SIGKILL ended. */
const SIGKILL_STATUS = 128 + 9;

/** How long the end of the process waits for stdout's reader, in milliseconds. */
const FLUSH_LIMIT_MS = 2_000;

/** And for the disk: spilled facts, the ledger and the deny-set's snapshot. Milliseconds. */
const DISK_LIMIT_MS = 2_000;

/**
 * Runs the gateway until it is told to stop.
 * @param warm the first worker's thread
 * @returns the process's exit code
 * @throws Error with one line that says what to do when it cannot start
 */
export async function serve(from: ConfigSource, warm: WarmThread): Promise<number> {
  // First of all: until somebody listens to it, this signal ends the process.
  let reload: (() => void) | null = null;
  let isReloadDue = false;
  const isTerminalGone = terminalWatch();
  process.on('SIGHUP', () => {
    if (isTerminalGone()) process.emit('SIGTERM', 'SIGTERM');
    else if (reload === null) isReloadDue = true;
    else reload();
  });
  const written = loadConfig(from);
  const terminal = process.stdout.isTTY === true;
  const spill = openSpill(written.config.usageSpillPath);
  const out = new LineOutlet(openStdout(), spill);
  const log = new NodeLog(out, written.config.logLevel, terminal);
  const overlay = new OverlayKeeper({
    source: denySource(written.config),
    dataDir: written.config.dataDir,
    log,
    isReachable: () => keeper.connected === true,
  });
  const effective = overlaid(from, written, overlay);
  const { config, document, source } = effective.loaded;
  if (spill !== null) {
    spill.onChange = (error) => {
      if (error === null) log.write('info', 'usage_spill_recovered');
      else log.write('error', 'usage_spill_failed', { reason: error.message });
    };
  }
  // Where stdout takes nothing, only stderr can say so.
  out.onWriteChange = (error) => {
    process.stderr.write(
      error === null
        ? 'stdout can be written again.\n'
        : `stdout cannot be written (${(error as NodeJS.ErrnoException).code ?? error.message}): usage facts go to usage_spill_path if it is set, log lines are dropped.\n`,
    );
  };
  const claimed = await claimPort(config.listen).catch((error: NodeJS.ErrnoException) => {
    throw cannotListen('listen', config.listen, error);
  });
  const listen = { host: config.listen.host, port: claimed.port };
  const providers = providerTable(config.providers);
  const slots = providers.map(({ name }) => name);
  const memory = new MetricsLayout(slots).allocate(config.workers);
  const rates = createRateTable(rateLimits(document));
  const tokens = createTokenTable();
  const deny = createDenyTable();
  const factGate = createFactGate();
  const gate = new FactGate(factGate);
  const health = createHealthTable();
  const pins = createPinTable();
  const limits = createLimitTable(document.workers);
  const replay = createKeptMemory(document.workers);
  const held = createKeptMemory(document.workers);
  const keeper = new DenyKeeper({
    memory: deny,
    source: denySource(config),
    bucket: config.configBucket,
    snapshotPath: config.snapshotPath,
    log,
  });
  const connection = (): NatsConnection | null => keeper.connection;
  const name = nodeName(config.dataDir);
  const fleetRates =
    config.natsUrl === null
      ? null
      : new FleetRates(name, config.configBucket, new LimitTable(limits, null), connection, log);
  let { withoutNats } = config.budgets;
  const grantStore =
    config.natsUrl === null ? null : new NatsGrants(config.configBucket, connection, log);
  const grants =
    grantStore === null
      ? null
      : new FleetGrants({
          node: name,
          store: grantStore,
          log,
          withoutNats: () => withoutNats,
          folder: config.dataDir,
        });
  let calendar = new BudgetCalendar(config.budgets.timeZone);
  const budgets = new BudgetKeeper(
    config.dataDir,
    config.workers,
    () => calendar,
    grants ?? new WholeBudgets(),
    log,
  );
  const stored = new StateKeeper(
    config.dataDir,
    log,
    config.natsUrl === null ? null : { bucket: config.configBucket, connection },
  );
  const ledger = openLedger(config, log);
  const cache = new CacheKeeper(config, log);
  const guards = new NodeGuards(log);
  guards.configure(document.guards);
  const counts = new NodeCounts(new MetricsLayout(slots), memory, config.workers);
  const cacheView = new CacheView(cache, counts, () => reloader.running.cacheMaxBytes);
  const running = { ...document, listen };
  const refusals = new RefusalList();
  const breaks = new PromptBreaks(config.dataDir, (reason) =>
    log.write('warn', 'prompt_breaks_unkept', { reason }),
  );
  const supervisor = new Supervisor(
    running,
    slots,
    {
      memory,
      rates,
      tokens,
      deny,
      factGate,
      health,
      pins,
      limits,
      repeats: createRepeatTable(),
      budgets: budgets.memory,
      replay,
      held,
      stored: stored.memory,
      followed: createFollowedTable(document.workers),
      ...guards.memory,
    },
    out,
    refusals,
    breaks,
    stored,
    budgets,
    ledger,
    cache,
    guards,
    log,
    warm,
  );
  const reloader = new Reloader(
    from,
    effective,
    running,
    slots,
    (next, nextSlots) => {
      setRateLimits(rates, rateLimits(next));
      log.level = next.logLevel;
      gate.isOpen = out.hasRoom || next.factsLost === 'count';
      if (next.budgets.timeZone !== calendar.timeZone)
        calendar = new BudgetCalendar(next.budgets.timeZone);
      withoutNats = next.budgets.withoutNats;
      cache.configure(next);
      guards.configure(next.guards);
      supervisor.reload(next, nextSlots);
      operatorConsole.set({ document: next, slots: nextSlots, source });
    },
    log,
    () => overlay.entries,
  );
  out.onRoomChange = (hasRoom) => {
    const { factsLost, signingKeys } = reloader.running;
    gate.isOpen = hasRoom || factsLost === 'count';
    if (signingKeys.length === 0) return;
    if (hasRoom) log.write('info', 'usage_facts_kept_again');
    else log.write('error', 'usage_facts_nowhere', { facts_lost: factsLost });
    // Nobody may read the log any more.
    const lost = factsLost === 'refuse' ? 'virtual keys get 503' : 'they are lost, and counted';
    process.stderr.write(
      hasRoom ? 'Usage facts are kept again.\n' : `Usage facts have nowhere to go: ${lost}.\n`,
    );
  };
  const routing = new RoutingView(health, pins);
  const purses = new LimitTable(limits, null);
  const nodeFacts = (): NodeFacts => ({
    isListening: supervisor.ready,
    isDenySetSettled: keeper.isSettled,
    areGrantsSettled: keeper.beganAlone || (grants?.isSettled ?? true),
    isOverlaySettled: keeper.beganAlone || overlay.isSettled,
    isStdoutGone: out.isGone,
    hasSpill: spill !== null,
    // Without virtual keys there are no facts that could be lost.
    hasFactRoom: out.hasRoom || reloader.running.signingKeys.length === 0,
    factsLost: reloader.running.factsLost,
  });
  const ownCommands = new OwnCommands();
  const operatorConsole = new ConsoleSwitch({
    workers: config.workers,
    start: {
      tables: { memory, health, pins, limits, budgets: budgets.memory, deny },
      node: name,
      startedMs: Date.now(),
      listen,
    },
    log,
    nodeView: {
      node: name,
      slots: () => reloader.slots,
      targets: () => [...routing.states(reloader.running)],
      ready: () => readyState(nodeFacts()),
      factsLost: () => out.factsLost + (ledger?.lost ?? 0),
      isLedgerUp: () => ledger?.isKeeping ?? null,
    },
    answers: {
      refusals: () => refusals.page(),
      promptBreaks: () => breaks.rows,
      guards: () => counts.named(GUARD_COUNTS, counts.layout.guards),
      cache: () => cacheView.state(),
      purgeCache: (about) => (about === null ? 0 : cacheView.purge(about)),
      overlay: () => overlay.entries,
      reload: () => {
        const problems = reloader.reload('admin');
        return { ok: problems.length === 0, problems };
      },
    },
  });
  const admin = await openAdmin(
    config.metricsListen,
    {
      metrics: () =>
        exposition(new MetricsLayout(reloader.slots), memory, config.workers, {
          version: VERSION,
          workerRestarts: supervisor.restarts,
          logLinesDropped: out.linesDropped,
          console: operatorConsole.dropped,
          usageFactsSpilled: out.factsSpilled,
          usageFactsLost: out.factsLost,
          denySetSize: keeper.size,
          denySetAgeSeconds: keeper.ageSeconds,
          natsConnected: keeper.connected,
          grants: grants?.totals ?? null,
          fleetNodes: fleetRates?.nodes ?? 1,
          storedState: stored.entries,
          storedStateDropped: stored.dropped,
          budgets: budgets.totals,
          guards: guards.totals,
          limitLocksGivenUp: purses.locksGivenUp,
          ledger,
          cache: cache.counts,
          targets: routing.states(reloader.running),
          reloads: reloader.results,
          overlay: reloader.overlay,
        }),
      refusals: () => refusals.page(),
      targets: (names) =>
        `${JSON.stringify({ targets: routing.states(reloader.running, names) })}\n`,
      limits: (names) => `${JSON.stringify({ limits: purseStates(purses, names) })}\n`,
      ready: nodeFacts,
      isOwnCommand: (shown) => ownCommands.isOne(shown, reloader.running),
    },
    operatorConsole,
  ).catch((error: NodeJS.ErrnoException) => {
    throw cannotListen('metrics_listen', config.metricsListen, error);
  });
  // Before the first connection is taken: from then on there is something to drain.
  const stopped = stopSignal(log, async () => {
    // What is open is settled first, so that its facts are told too.
    await supervisor.close(CLOSE_LIMIT_MS);
    await Promise.all([ledger?.stop(DISK_LIMIT_MS), guards.stop(DISK_LIMIT_MS)]);
    await finish(out);
  });
  stored.start();
  const webhook = new BudgetWebhook(() => secretOf(reloader.running.budgetWebhookUrl), log);
  budgets.onWarning = (warning) => webhook.tell(warning);
  // Whoever limits money wants it to hold tomorrow.
  if (config.dataDir === null && hasBudgets(config)) log.write('warn', 'budgets_end_with_process');
  budgets.start();
  try {
    await Promise.all([supervisor.start(), ledger?.start()]);
  } catch (error) {
    admin.close();
    await supervisor.close(CLOSE_LIMIT_MS);
    throw error;
  } finally {
    claimed.release();
  }
  keeper.start();
  grantStore?.start();
  fleetRates?.start();
  overlay.start(() => reloader.reload('overlay'));
  reloader.start();
  operatorConsole.set({ document: reloader.running, slots: reloader.slots, source });
  reload = () => reloader.reload('SIGHUP');
  if (isReloadDue) reload();
  const metricsListen = { host: config.metricsListen.host, port: admin.port };
  const facts = { config, listen, metricsListen, source, providers };
  if (terminal) process.stdout.write(banner(facts));
  else {
    log.write('info', 'listening', {
      version: VERSION,
      listen: printed(listen),
      metrics_listen: printed(metricsListen),
      workers: config.workers,
      tls: config.tlsCertFile !== null,
      config: source,
      providers: providers.map(({ name }) => name),
    });
  }

  const signal = await stopped;
  overlay.stop();
  reloader.stop();
  operatorConsole.stop();
  cache.stop();
  const graceMs = reloader.running.shutdownGraceMs;
  log.write('info', 'draining', { signal, grace_ms: graceMs });
  await supervisor.drain(graceMs);
  fleetRates?.stop();
  const closed = await supervisor.close(CLOSE_LIMIT_MS);
  const shared = Promise.all([stored.stop(DISK_LIMIT_MS), budgets.stop(DISK_LIMIT_MS)]);
  const kept = Promise.all([
    shared,
    keeper.stop(DISK_LIMIT_MS, shared),
    breaks.stop(DISK_LIMIT_MS),
    ledger === null || ledger.stop(DISK_LIMIT_MS),
    guards.stop(DISK_LIMIT_MS),
  ]).then((all) => all.flat().every((isSaved) => isSaved));
  log.write('info', 'stopped', { signal });
  admin.close();
  await finish(out);
  const isSaved = await kept;
  if (ledger !== null && ledger.lost > 0)
    process.stderr.write(
      `${ledger.lost} usage facts are not in the ledger: its disk took no more. stdout had them.\n`,
    );
  if (!isSaved || out.isBusy) process.stderr.write('The disk does not answer: not waited for.\n');
  if (!closed || !isSaved || out.isBusy) endHard();
  return 0;
}

function hasBudgets({ policy: { policies } }: Config): boolean {
  return [...policies.values()].some(
    ({ budgetPerDay, budgetPerMonth }) => (budgetPerDay ?? 0) + (budgetPerMonth ?? 0) > 0,
  );
}

function secretOf(text: string | null): Secret | null {
  return text === null ? null : new Secret(text);
}

/** What was made at run time and is known before the first request: what stands in `data_dir`. */
function overlaid(
  from: ConfigSource,
  written: LoadedConfig,
  { entries }: OverlayKeeper,
): EffectiveConfig {
  if (entries.length === 0) return { loaded: written, accepted: [], refused: [] };
  return loadEffective(from, entries, []);
}

function rateLimits(document: ConfigDocument): RateLimits {
  const { rateLimitRps, byoRateLimitRps, verifyRateLimitRps } = document;
  return { credentialRps: rateLimitRps, byoRps: byoRateLimitRps, verifyRps: verifyRateLimitRps };
}

/** Everything that was said reaches stdout, or for facts the spill file; what reached neither is told on stderr. */
async function finish(out: LineOutlet): Promise<void> {
  await out.flush(FLUSH_LIMIT_MS);
  await out.close(DISK_LIMIT_MS);
  if (out.factsLost > 0) {
    process.stderr.write(
      `${out.factsLost} usage facts were lost: stdout was not read, and usage_spill_path is not set or took no more.\n`,
    );
  }
}

function openSpill(path: string | null): FactSpill | null {
  if (path === null) return null;
  try {
    return new FactSpill(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(
      `usage_spill_path: cannot append to ${path} (${code}). Name a file in a folder that this user may write to.`,
    );
  }
}

function openLedger(
  { dataDir, ledger, ledgerRetentionDays, ledgerUrl }: Config,
  log: NodeLog,
): LedgerKeeper | null {
  if (dataDir === null || !ledger) return null;
  return new LedgerKeeper(
    { dataDir, retentionDays: ledgerRetentionDays, url: ledgerUrl?.reveal() ?? null },
    log,
  );
}

/**
 * Resolves at the first SIGTERM or SIGINT; the second ends the process at once.
 * @param end closes everything
 */
function stopSignal(log: NodeLog, end: () => Promise<void>): Promise<string> {
  return new Promise((resolve) => {
    let askedAtMs = 0;
    const on = (signal: string): void => {
      const nowMs = performance.now();
      // Ctrl-C reaches npm and the gateway at once, and npm hands it on: that is one wish, not two.
      if (askedAtMs > 0 && nowMs - askedAtMs < SAME_SIGNAL_MS) return;
      if (askedAtMs > 0) {
        log.write('warn', 'stopped_at_once', { signal });
        void end().then(() => endHard());
      }
      askedAtMs = nowMs;
      resolve(signal);
    };
    process.on('SIGTERM', on);
    process.on('SIGINT', on);
    // After a signal this is no second one: npm may leave while what is in flight finishes.
    whenLauncherLeaves(process.env, () => {
      if (askedAtMs === 0) on('launcher gone');
    });
  });
}

/** Not process.exit() alone: with a connection still open in some worker it would abort the process and dump its core. */
function endHard(): never {
  process.kill(process.pid, 'SIGKILL');
  // Still here: the first process of a container, to which the kernel gives no SIGKILL of its own.
  process.exit(SIGKILL_STATUS);
}

function cannotListen(key: string, address: ListenAddress, { code }: NodeJS.ErrnoException): Error {
  const advice =
    code === 'EADDRINUSE'
      ? 'Another process has that port: stop it, or choose another one'
      : 'Choose an address of this machine and a port that this user may bind';
  return new Error(
    `Cannot listen on ${printed(address)} (${code}). ${advice} with ${key} in the config or AI_${key.toUpperCase()}.`,
  );
}

export function printed({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

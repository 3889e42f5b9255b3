/** Prometheus text exposition (format 0.0.4) of the shared counters. Runs on the main thread, per scrape. */

import { BUDGET_SCOPES, BUDGET_WINDOWS } from '../budget/budget-settings.ts';
import { UNKEPT_REASONS } from '../cache/answer-judgement.ts';
import { REDIS_FAULTS, type RedisFault } from '../cache/redis-faults.ts';
import { KEY_CLASSES } from '../keys/key-class.ts';
import { FAILOVER_REASONS } from '../plan/failover.ts';
import { LIMIT_SCOPES, LIMIT_UNITS } from '../policy/limit-settings.ts';
import { REJECTION_CODES } from '../rejection.ts';
import {
  CACHE_RESULTS,
  CLASS_REASONS,
  HOLD_BUCKETS,
  HOLD_BYTES_BUCKETS,
  LATENCY_BUCKETS,
  type MetricsLayout,
  OUTCOMES,
  OVERHEAD_BUCKETS,
  STATUS_CLASSES,
  TOKEN_KINDS,
  USAGE_SOURCES,
} from './metrics.ts';

/** What only the main thread knows. */
interface NodeFacts {
  readonly version: string;
  readonly workerRestarts: number;
  readonly logLinesDropped: number;
  /** What the console turned away; null: it is off. */
  readonly console: { readonly calls: number; readonly readers: number } | null;
  readonly usageFactsSpilled: number;
  readonly usageFactsLost: number;
  readonly denySetSize: number;
  /** Seconds since the set was last known to be the bucket's. */
  readonly denySetAgeSeconds: number;
  /** Null when no NATS is configured. */
  readonly natsConnected: boolean | null;
  /** How this node's part of a fleet's budgets stands; null: it has no fleet. */
  readonly grants: {
    readonly isReachable: boolean;
    readonly writes: number;
    readonly conflicts: number;
  } | null;
  /** Gateways that share limits, this one too. */
  readonly fleetNodes: number;
  /** Ids of stored objects that are remembered, and those that found no room. */
  readonly storedState: number;
  readonly storedStateDropped: number;
  /** How budgets stand. */
  readonly budgets: {
    /** Budgets in use, each kind of window by itself. */
    readonly rows: number;
    /** Nano-dollars that requests under way hold of the node's budgets, at the most of one. */
    readonly reservedNano: number;
    /** Warnings since the start, by the percentage that was passed. */
    readonly warnings: ReadonlyMap<number, number>;
    readonly isJournalFailing: boolean;
    /** Looks at a row that the main thread put off, because a worker held it for too long. */
    readonly locksGivenUp: number;
  };
  /** The same of limits. */
  readonly limitLocksGivenUp: number;
  /** Null where there is none. Facts of this process, and bytes that wait for it. */
  readonly ledger: {
    readonly added: number;
    readonly lost: number;
    readonly backlogBytes: number;
    readonly isKeeping: boolean;
    readonly sent: number;
    readonly refused: number;
  } | null;
  /** Calls of judges without a verdict and ends of modules' threads, by why; exchanges in the log and in none. */
  readonly guards: {
    readonly failures: ReadonlyMap<string, number>;
    readonly lost: ReadonlyMap<string, number>;
    readonly logged: number;
    readonly notLogged: number;
  };
  /** The targets that the configuration names: `closed`, `open` or `probing`. */
  readonly targets: readonly { readonly name: string; readonly state: string }[];
  /** Configurations read again since the start. */
  readonly reloads: { readonly ok: number; readonly failed: number };
  /** The answers that the node's workers tell again. */
  readonly cache: {
    readonly bytes: number;
    readonly answers: number;
    readonly answersEvicted: number;
    /** Null: there is none. */
    readonly isRedisUp: boolean | null;
    redisFaults(fault: RedisFault): number;
  };
  readonly overlay: { readonly counting: number; readonly refused: number };
}

/** @returns the whole page, ended by a newline */
/** As `GUARD_COUNTS` has them. */
const GUARD_ROWS: readonly (readonly [name: string, help: string])[] = [
  ['ai_guard_requests_total', 'Requests that went through guards.'],
  [
    'ai_guard_findings_total',
    'What guards found in prompts and answers, whatever was done about it.',
  ],
  ['ai_guard_failures_total', 'Times that a guard could not say: it failed, or was too slow.'],
  ['ai_guard_blocked_total', 'Requests and answers that a guard did not let pass.'],
  [
    'ai_guard_held_too_long_total',
    'Texts that left before it was known whether they are a part of something (max_hold_ms).',
  ],
  ['ai_guard_scanned_bytes_total', 'Bytes of texts that guards were given.'],
  [
    'ai_guard_unscanned_bytes_total',
    'Bytes of what no guard can read: pictures, files, events of an unknown shape.',
  ],
];

export function exposition(
  layout: MetricsLayout,
  memory: SharedArrayBuffer,
  workers: number,
  node: NodeFacts,
): string {
  const sums = sum(layout, memory, workers);
  const page = new Page();
  const at = (cell: number): number => sums[cell] ?? 0;
  const perProvider = (base: number): Samples =>
    layout.providers.map((name, index) => [`provider="${name}"`, at(base + index)]);

  page.add('ai_requests_total', 'counter', 'Requests received.', [['', at(layout.requests)]]);
  page.add('ai_exchanges_settled_total', 'counter', 'Exchanges settled, by how they ended.', [
    ...OUTCOMES.map(
      (outcome, index): Sample => [`outcome="${outcome}"`, at(layout.outcomes + index)],
    ),
  ]);
  page.add('ai_requests_in_flight', 'gauge', 'Exchanges that have not settled.', [
    ['', at(layout.inFlight)],
  ]);
  page.add('ai_active_streams', 'gauge', 'Event streams being relayed.', [
    ['', at(layout.activeStreams)],
  ]);
  page.add(
    'ai_client_buffers_unbounded',
    'gauge',
    'Workers whose clients the kernel keeps megabytes for: the start says why.',
    [['', at(layout.unboundedBuffers)]],
  );
  page.add(
    'ai_upload_slipped_bytes',
    'gauge',
    'Bytes that came of uploads although they were held back, to notice clients that leave.',
    [['', at(layout.slippedBytes)]],
  );
  page.add(
    'ai_bills_unread_total',
    'counter',
    'Streams whose client left behind their end, and whose usage was not waited for because too many were.',
    [['', at(layout.billsUnread)]],
  );
  page.add('ai_rejections_total', 'counter', 'Answers given by the gateway itself.', [
    ...REJECTION_CODES.map(
      (code, index): Sample => [`reason="${code}"`, at(layout.rejections + index)],
    ),
  ]);
  page.add('ai_upstream_responses_total', 'counter', 'Response heads received, by status class.', [
    ...layout.providers.flatMap((name, provider) =>
      STATUS_CLASSES.map(
        (statusClass, index): Sample => [
          `provider="${name}",status="${statusClass}"`,
          at(layout.responses + provider * STATUS_CLASSES.length + index),
        ],
      ),
    ),
  ]);
  page.add(
    'ai_connect_failures_total',
    'counter',
    'Connections to providers that failed.',
    perProvider(layout.connectFailures),
  );
  page.add(
    'ai_upstream_retries_total',
    'counter',
    'Requests sent again because a reused connection was dead.',
    perProvider(layout.retries),
  );
  page.add(
    'ai_pool_key_rejections_total',
    'counter',
    'Pool keys that providers refused with 401, 402 or 403: alarm on any.',
    perProvider(layout.poolKeyRefusals),
  );
  const perLimit = (base: number): readonly Sample[] =>
    LIMIT_SCOPES.flatMap((scope, row) =>
      LIMIT_UNITS.map(
        (unit, column): Sample => [
          `scope="${scope}",unit="${unit}"`,
          at(base + row * LIMIT_UNITS.length + column),
        ],
      ),
    );
  page.add(
    'ai_limit_refusals_total',
    'counter',
    'Requests that a limit refused, by whose it is and of what.',
    perLimit(layout.limitRefusals),
  );
  page.add(
    'ai_limit_warnings_total',
    'counter',
    'Requests that a limit would have refused: mode = "warn".',
    perLimit(layout.limitWarnings),
  );
  page.add(
    'ai_limit_rows_dropped_total',
    'counter',
    'Keys and tenants that have no limit of their own because the table of limits is full: alarm on any.',
    [['', at(layout.limitRowsDropped)]],
  );
  page.add(
    'ai_class_refusals_total',
    'counter',
    'Requests refused for the class of their key: its share of what all share is taken, or the same was sent too often.',
    KEY_CLASSES.flatMap((keyClass, row) =>
      CLASS_REASONS.map(
        (reason, column): Sample => [
          `class="${keyClass}",reason="${reason}"`,
          at(layout.classRefusals + row * CLASS_REASONS.length + column),
        ],
      ),
    ),
  );
  page.add(
    'ai_loop_warnings_total',
    'counter',
    'Requests that the loop guard would have refused: mode = "warn".',
    KEY_CLASSES.map(
      (keyClass, row): Sample => [`class="${keyClass}"`, at(layout.loopsPassed + row)],
    ),
  );
  page.add(
    'ai_repeat_rows_dropped_total',
    'counter',
    'Requests that the loop guard forgot before their minute was over, because too many others came.',
    [['', at(layout.repeatRowsDropped)]],
  );
  const perBudget = (base: number): readonly Sample[] =>
    BUDGET_SCOPES.flatMap((scope, row) =>
      BUDGET_WINDOWS.map(
        (window, column): Sample => [
          `scope="${scope}",window="${window}"`,
          at(base + row * BUDGET_WINDOWS.length + column),
        ],
      ),
    );
  page.add(
    'ai_budget_refusals_total',
    'counter',
    'Requests that a budget refused, by whose it is and its window.',
    perBudget(layout.budgetRefusals),
  );
  page.add(
    'ai_budget_passed_total',
    'counter',
    'Requests that a budget would have refused: mode = "warn".',
    perBudget(layout.budgetWarnings),
  );
  page.add(
    'ai_budget_rows_dropped_total',
    'counter',
    'Requests refused because the table of budgets is full: alarm on any.',
    [['', at(layout.budgetRowsDropped)]],
  );
  page.add(
    'ai_budget_warnings_total',
    'counter',
    'Budgets of which so much was spent, in percent, once a window each.',
    [...node.budgets.warnings].map(([percent, count]): Sample => [`percent="${percent}"`, count]),
  );
  page.add('ai_budget_rows', 'gauge', 'Budgets in use, days and months apart.', [
    ['', node.budgets.rows],
  ]);
  page.add(
    'ai_budget_reserved_usd',
    'gauge',
    'USD that requests under way hold, of the budget of which they hold most.',
    [['', node.budgets.reservedNano / 1e9]],
  );
  page.add(
    'ai_budget_journal_failing',
    'gauge',
    '1 while what was spent cannot be written to data_dir: alarm on it.',
    [['', node.budgets.isJournalFailing ? 1 : 0]],
  );
  page.add(
    'ai_row_locks_given_up_total',
    'counter',
    'Rows that the main thread put off, because a worker held them for a tenth of a second: it died, or got no processor.',
    [
      ['table="budgets"', node.budgets.locksGivenUp],
      ['table="limits"', node.limitLocksGivenUp],
    ],
  );
  page.add(
    'ai_upstream_waiting',
    'gauge',
    'Requests that wait for one of max_provider_connections.',
    perProvider(layout.waiting),
  );
  page.add(
    'ai_upstream_turned_away_total',
    'counter',
    'Requests refused because too many waited, or one waited too long.',
    perProvider(layout.turnedAway),
  );
  page.add('ai_tokens_total', 'counter', 'Tokens of managed requests, as their facts say.', [
    ...TOKEN_KINDS.map((kind, index): Sample => [`kind="${kind}"`, at(layout.tokens + index)]),
  ]);
  page.add('ai_usage_facts_total', 'counter', 'Usage facts, by where their counts come from.', [
    ...USAGE_SOURCES.map(
      (source, index): Sample => [`source="${source}"`, at(layout.facts + index)],
    ),
  ]);
  page.histogram(
    'ai_overhead_seconds',
    'Time spent in the gateway before the upstream request left.',
    OVERHEAD_BUCKETS,
    [['', sums.subarray(layout.overhead)]],
  );
  const latency = (base: number): Histograms =>
    layout.providers.map((name, index) => [
      `provider="${name}"`,
      sums.subarray(base + index * (LATENCY_BUCKETS.length + 2)),
    ]);
  page.histogram(
    'ai_ttft_seconds',
    'From the request to the first byte of the response body.',
    LATENCY_BUCKETS,
    latency(layout.firstByte),
  );
  page.histogram(
    'ai_upstream_latency_seconds',
    'From the request to the last byte of the response.',
    LATENCY_BUCKETS,
    latency(layout.latency),
  );
  page.add(
    'ai_attempts_total',
    'counter',
    'Attempts of routed requests, by provider.',
    perProvider(layout.attempts),
  );
  page.add('ai_failovers_total', 'counter', 'Attempts that another one followed, by reason.', [
    ...FAILOVER_REASONS.map(
      (reason, index): Sample => [`reason="${reason}"`, at(layout.failovers + index)],
    ),
  ]);
  page.add(
    'ai_breaker_state',
    'gauge',
    'Of each target that a route names: 0 closed, 1 open, 2 one probe is under way.',
    node.targets.map(
      ({ name, state }): Sample => [`target="${labelValue(name)}"`, BREAKER_STATES.indexOf(state)],
    ),
  );
  page.add(
    'ai_replay_skipped_total',
    'counter',
    'Routed bodies that could not be kept for another attempt.',
    [['', at(layout.replaySkipped)]],
  );
  page.add(
    'ai_hold_cut_short_total',
    'counter',
    'Held answers let go before it was known what they are worth, and translated ones ended: too large, or the node held too much.',
    [['', at(layout.holdCutShort)]],
  );
  page.add(
    'ai_resumed_total',
    'counter',
    'Streams that broke behind their first word and went on at another target.',
    [['', at(layout.resumed)]],
  );
  page.add(
    'ai_resume_skipped_total',
    'counter',
    'Streams that could not go on elsewhere any more: too long, or the node kept too much.',
    [['', at(layout.resumesSkipped)]],
  );
  for (const [index, [name, help]] of GUARD_ROWS.entries())
    page.add(name, 'counter', help, [['', at(layout.guards + index)]]);
  page.add(
    'ai_wishes_dropped_total',
    'counter',
    'Names in x-sluice-order and x-sluice-only that are neither a provider nor a target.',
    [['', at(layout.wishesDropped)]],
  );
  page.add(
    'ai_prompt_cache_broken_total',
    'counter',
    'Named sessions whose tools or system prompt changed in three turns: no cache can hold them (see prompt_cache_broken in the log).',
    [['', at(layout.promptCacheBroken)]],
  );
  page.add(
    'ai_cache_requests_total',
    'counter',
    'Requests whose policy has a cache, by what it had to say.',
    [
      ...CACHE_RESULTS.map(
        (result, index): Sample => [`result="${result}"`, at(layout.cacheRequests + index)],
      ),
    ],
  );
  page.add('ai_cache_answers_kept_total', 'counter', 'Answers that were kept to be told again.', [
    ['', at(layout.cacheKept)],
  ]);
  page.add(
    'ai_cache_answers_unkept_total',
    'counter',
    'Answers that were made to be kept, and were not.',
    [
      ...UNKEPT_REASONS.map(
        (reason, index): Sample => [`reason="${reason}"`, at(layout.cacheUnkept + index)],
      ),
    ],
  );
  page.add(
    'ai_cache_saved_usd_total',
    'counter',
    'What the answers that were told again had cost.',
    [['', at(layout.cacheSavedNano) / 1e9]],
  );
  page.add('ai_cache_bytes', 'gauge', 'What the answers that are kept take of cache_max_mb.', [
    ['', node.cache.bytes],
  ]);
  page.add('ai_cache_answers', 'gauge', 'Answers that are kept.', [['', node.cache.answers]]);
  page.add(
    'ai_cache_evictions_total',
    'counter',
    'Answers that gave way to newer ones before they were too old.',
    [['', node.cache.answersEvicted]],
  );
  if (node.cache.isRedisUp !== null) {
    page.add('ai_cache_redis_up', 'gauge', 'Whether the Redis of redis_url is asked.', [
      ['', node.cache.isRedisUp ? 1 : 0],
    ]);
    page.add(
      'ai_cache_redis_faults_total',
      'counter',
      'Questions to Redis that were misses, and answers that it was not given, by why.',
      REDIS_FAULTS.map((fault): Sample => [`fault="${fault}"`, node.cache.redisFaults(fault)]),
    );
  }
  page.add(
    'ai_prompt_prefixes_forgotten_total',
    'counter',
    'Sessions whose prompts are not compared any more because too many are.',
    [['', at(layout.prefixesForgotten)]],
  );
  page.histogram(
    'ai_hold_bytes',
    'Bytes of routed answers that were held and passed on.',
    HOLD_BYTES_BUCKETS,
    [['', sums.subarray(layout.holdBytes)]],
  );
  page.histogram(
    'ai_hold_seconds',
    'For how long the beginnings of routed answers were held.',
    HOLD_BUCKETS,
    [['', sums.subarray(layout.hold)]],
  );
  page.add('ai_worker_restarts_total', 'counter', 'Workers that died and were replaced.', [
    ['', node.workerRestarts],
  ]);
  page.add('ai_log_lines_dropped_total', 'counter', 'Log lines dropped because nobody read them.', [
    ['', node.logLinesDropped],
  ]);
  page.add(
    'ai_usage_facts_spilled_total',
    'counter',
    'Usage facts written to usage_spill_path because stdout was not read.',
    [['', node.usageFactsSpilled]],
  );
  page.add(
    'ai_usage_facts_lost_total',
    'counter',
    'Usage facts that neither stdout nor usage_spill_path took.',
    [['', node.usageFactsLost]],
  );
  page.add('ai_deny_set_size', 'gauge', 'Tenants and keys that are cut off.', [
    ['', node.denySetSize],
  ]);
  const { grants } = node;
  if (grants !== null) {
    page.add(
      'ai_budget_grants_reachable',
      'gauge',
      '1 while more of a budget can be granted to this gateway.',
      [['', grants.isReachable ? 1 : 0]],
    );
    page.add(
      'ai_budget_grant_writes_total',
      'counter',
      'Grants of budgets that this gateway wrote, or tried to.',
      [['', grants.writes]],
    );
    page.add(
      'ai_budget_grant_conflicts_total',
      'counter',
      'Of these, where another gateway was faster: read and written again.',
      [['', grants.conflicts]],
    );
  }
  page.add('ai_fleet_nodes', 'gauge', 'Gateways that share limits over NATS, this one too.', [
    ['', node.fleetNodes],
  ]);
  page.add('ai_nats_connected', 'gauge', '1 while the deny-set has a connection to NATS.', [
    ['', node.natsConnected === true ? 1 : 0],
  ]);
  page.add(
    'ai_deny_set_age_seconds',
    'gauge',
    'Seconds since the deny-set was last known to be what the bucket says; 0 without NATS.',
    [['', node.natsConnected === null ? 0 : node.denySetAgeSeconds]],
  );
  page.add('ai_overlay_entries', 'gauge', 'Entries made at run time, by whether they count.', [
    ['state="counting"', node.overlay.counting],
    ['state="refused"', node.overlay.refused],
  ]);
  page.add(
    'ai_background_followed',
    'gauge',
    'Answers written behind their responses that are followed to their end.',
    [['', at(layout.backgroundFollowed)]],
  );
  page.add(
    'ai_background_given_up_total',
    'counter',
    'Such answers of whose end nothing was learned: their facts are estimates.',
    [['', at(layout.backgroundGivenUp)]],
  );
  page.add(
    'ai_stored_state_entries',
    'gauge',
    'Ids of what answers stored at providers that are remembered.',
    [['', node.storedState]],
  );
  page.add(
    'ai_stored_state_dropped_total',
    'counter',
    'Such ids that found no room, displaced older ones, or could not be kept for a restart.',
    [['', node.storedStateDropped]],
  );
  if (node.console !== null) {
    page.add(
      'ai_console_turned_away_total',
      'counter',
      'Calls of the admin API beyond their rate or number, and live screens without a place or that did not read.',
      [
        ['what="call"', node.console.calls],
        ['what="live"', node.console.readers],
      ],
    );
  }
  page.add(
    'ai_guard_judge_failures_total',
    'counter',
    'Calls of modules and servers that judge which had no verdict, by why.',
    byReason(node.guards.failures),
  );
  page.add(
    'ai_guard_module_ends_total',
    'counter',
    "Threads and processes of operators' modules that were ended or went by themselves, by why.",
    byReason(node.guards.lost),
  );
  page.add('ai_exchange_log_written_total', 'counter', 'Exchanges that are in the exchange log.', [
    ['', node.guards.logged],
  ]);
  page.add(
    'ai_exchange_log_dropped_total',
    'counter',
    'Exchanges that found no room in the exchange log, or whose file could not be written.',
    [['', node.guards.notLogged]],
  );
  if (node.ledger !== null) {
    page.add('ai_ledger_facts_total', 'counter', 'Usage facts that the ledger has kept.', [
      ['', node.ledger.added],
    ]);
    page.add(
      'ai_ledger_facts_lost_total',
      'counter',
      'Usage facts that found no place in the ledger: its disk took nothing for too long.',
      [['', node.ledger.lost]],
    );
    page.add(
      'ai_ledger_backlog_bytes',
      'gauge',
      'Bytes of usage facts that wait in files for the ledger.',
      [['', node.ledger.backlogBytes]],
    );
    page.add(
      'ai_ledger_sent_total',
      'counter',
      'Usage facts that the data base of ledger_url has been sent.',
      [['', node.ledger.sent]],
    );
    page.add(
      'ai_ledger_refused_total',
      'counter',
      'Usage facts that the data base of ledger_url refused for good.',
      [['', node.ledger.refused]],
    );
    page.add('ai_ledger_up', 'gauge', '1 while the ledger keeps what comes.', [
      ['', node.ledger.isKeeping ? 1 : 0],
    ]);
  }
  page.add('ai_config_reload_total', 'counter', 'Configurations read again, by result.', [
    ['result="ok"', node.reloads.ok],
    ['result="failed"', node.reloads.failed],
  ]);
  page.add('ai_build_info', 'gauge', 'Version of this process.', [
    [`version="${node.version}",node="${process.version}"`, 1],
  ]);
  return page.text;
}

const BREAKER_STATES: readonly string[] = ['closed', 'open', 'probing'];

/** As the text format wants it: names come from the configuration, where any printable character may stand. */
function labelValue(text: string): string {
  return text.replace(/[\\"]/g, '\\$&');
}

type Sample = readonly [labels: string, value: number];
type Samples = readonly Sample[];
type Histograms = readonly (readonly [labels: string, cells: Float64Array])[];

class Page {
  text = '';

  add(name: string, type: 'counter' | 'gauge', help: string, samples: Samples): void {
    this.#head(name, type, help);
    for (const [labels, value] of samples) this.#line(name, labels, value);
  }

  histogram(name: string, help: string, buckets: readonly number[], series: Histograms): void {
    this.#head(name, 'histogram', help);
    for (const [labels, cells] of series) {
      const prefix = labels === '' ? '' : `${labels},`;
      let count = 0;
      for (const [index, bound] of buckets.entries()) {
        count += cells[index] ?? 0;
        this.#line(`${name}_bucket`, `${prefix}le="${bound}"`, count);
      }
      count += cells[buckets.length] ?? 0;
      this.#line(`${name}_bucket`, `${prefix}le="+Inf"`, count);
      this.#line(`${name}_sum`, labels, cells[buckets.length + 1] ?? 0);
      this.#line(`${name}_count`, labels, count);
    }
  }

  #head(name: string, type: string, help: string): void {
    this.text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  }

  #line(name: string, labels: string, value: number): void {
    this.text += labels === '' ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
  }
}

function sum(layout: MetricsLayout, memory: SharedArrayBuffer, workers: number): Float64Array {
  const sums = new Float64Array(layout.cells);
  for (let worker = 0; worker < workers; worker++) {
    const slab = layout.slab(memory, worker);
    for (let cell = 0; cell < layout.cells; cell++)
      sums[cell] = (sums[cell] ?? 0) + (slab[cell] ?? 0);
  }
  return sums;
}

/** A reason that nothing happened for is no row. */
function byReason(counts: ReadonlyMap<string, number>): readonly (readonly [string, number])[] {
  return [...counts].map(([reason, count]) => [`reason="${reason}"`, count]);
}

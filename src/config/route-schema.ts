import { z } from 'zod';
import { FAILOVER_DEFAULT, FAILOVER_REASONS } from '../plan/failover.ts';
import { ROUTE_DEFAULTS, type RouteAffinity, type RouteSettings } from '../plan/route-table.ts';

/** Longest time that a route may wait, in seconds: a day. */
const ROUTE_MAX_SECONDS = 86_400;
/** Targets of one group, and fallbacks of one route: more is a list that nobody reads. */
const ENTRIES_MAX = 64;
const RETRIES_MAX = 5;
const WEIGHT_MAX = 10_000;

const NAME = 'provider/model, or the name of a route';

function name() {
  return z.string({ error: NAME }).regex(/^[\x21-\x7e]{1,200}$/, { error: NAME });
}

function seconds(fallbackMs: number) {
  const error = `seconds: 0 (off), or a number from 0.001 to ${ROUTE_MAX_SECONDS}`;
  return z
    .number({ error })
    .refine((value) => value === 0 || (value >= 0.001 && value <= ROUTE_MAX_SECONDS), { error })
    .transform((value) => Math.round(value * 1_000))
    .prefault(fallbackMs / 1_000);
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: values.map((value) => `"${value}"`).join(', ') });
}

function entry() {
  const weight = `a weight above 0, up to ${WEIGHT_MAX}`;
  const error = `"${NAME}" or { to = "${NAME}", weight = 2 }`;
  return z.union(
    [
      name().transform((to) => ({ to, weight: 1 })),
      z.strictObject({
        to: name(),
        weight: z
          .number({ error: weight })
          .gt(0, { error: weight })
          .max(WEIGHT_MAX, { error: weight })
          .prefault(1),
      }),
    ],
    { error },
  );
}

/** USD: no single request costs more; above it a pico-dollar is no whole number any more. */
const COST_MAX_USD = 1_000;
const PICO_PER_USD = 1e12;

function usd() {
  const error = `USD: 0 (no limit), or a number up to ${COST_MAX_USD}`;
  return z
    .number({ error })
    .min(0, { error })
    .max(COST_MAX_USD, { error })
    .transform((value) => Math.round(value * PICO_PER_USD))
    .prefault(0);
}

const AFFINITY = '"auto", "off" or "header:NAME"';

/** A field's name (RFC 9110 §5.1), which arrives in lower case. */
function affinity() {
  return z
    .string({ error: AFFINITY })
    .regex(/^(?:auto|off|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})$/, { error: AFFINITY })
    .transform((text) => text.toLowerCase() as RouteAffinity)
    .prefault(ROUTE_DEFAULTS.affinity);
}

const TABLE = z.strictObject(
  {
    targets: z
      .array(entry(), { error: 'a list of targets' })
      .min(1, { error: 'at least one target' })
      .max(ENTRIES_MAX, { error: `at most ${ENTRIES_MAX} targets` }),
    fallbacks: z
      .array(name(), { error: 'a list of targets or routes' })
      .max(ENTRIES_MAX, { error: `at most ${ENTRIES_MAX} fallbacks` })
      .prefault([]),
    balance: oneOf(['order', 'weight', 'latency', 'cost']).prefault(ROUTE_DEFAULTS.balance),
    fallback_on: z
      .array(oneOf(FAILOVER_REASONS), { error: `a list of ${FAILOVER_REASONS.join(', ')}` })
      .prefault([...FAILOVER_DEFAULT]),
    retries: z
      .int({ error: `0 to ${RETRIES_MAX}` })
      .min(0, { error: `0 to ${RETRIES_MAX}` })
      .max(RETRIES_MAX, { error: `0 to ${RETRIES_MAX}` })
      .prefault(ROUTE_DEFAULTS.retries),
    first_content_timeout_secs: seconds(ROUTE_DEFAULTS.firstContentTimeoutMs),
    stall_timeout_secs: seconds(ROUTE_DEFAULTS.stallTimeoutMs),
    deadline_secs: seconds(ROUTE_DEFAULTS.deadlineMs),
    stream_safety: oneOf(['relay', 'hold', 'resume']).prefault(ROUTE_DEFAULTS.streamSafety),
    affinity: affinity(),
    max_cost_usd: usd(),
    strict: z.boolean({ error: 'true or false' }).prefault(ROUTE_DEFAULTS.isStrict),
  },
  { error: 'a table: targets = ["provider/model"], and what else a route may say' },
);

/** Its keys, in the order in which they are documented. */
export const ROUTE_KEYS: readonly string[] = Object.keys(TABLE.shape);

/** One `[routes.NAME]` table. */
export const ROUTE = TABLE.transform(
  (table): RouteSettings => ({
    targets: table.targets,
    fallbacks: table.fallbacks,
    balance: table.balance,
    fallbackOn: table.fallback_on,
    retries: table.retries,
    firstContentTimeoutMs: table.first_content_timeout_secs,
    stallTimeoutMs: table.stall_timeout_secs,
    deadlineMs: table.deadline_secs,
    streamSafety: table.stream_safety,
    affinity: table.affinity,
    maxCostPico: table.max_cost_usd,
    isStrict: table.strict,
  }),
);

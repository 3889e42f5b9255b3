import { z } from 'zod';
import {
  GUARD_ACTIONS,
  GUARD_DIRECTIONS,
  GUARD_PHASES,
  type GuardAction,
  type GuardPhase,
} from '../guard/guard.ts';
import type { GuardConfig, GuardKind, GuardMade } from '../guard/guard-config.ts';
import { USUAL_THRESHOLD } from '../guard/injection/injection-kinds.ts';
import { PII_KINDS } from '../guard/pii/pii-kinds.ts';
import { PART_ACTIONS, PART_KEYS, PART_NEEDS, PART_SHAPE, partMade } from './guard-part-schema.ts';

/** The guards that need no table: each has its name. */
export const BUILT_IN_GUARDS = ['pii', 'injection'] as const;

const GUARD_KINDS = ['pii', 'injection', 'module', 'presidio', 'moderation', 'logger'] as const;

/** A held text that waits for longer is no stream any more. */
const HOLD_MAX_MS = 60_000;
const HOLD_MS = 500;

/** What a guard can do; the first one is what it does when nobody says it. */
const ACTIONS_OF: Readonly<Record<GuardKind, readonly [GuardAction, ...GuardAction[]]>> = {
  pii: GUARD_ACTIONS,
  // An order that is masked would be put back where the model repeats it.
  injection: ['flag', 'redact', 'block'],
  ...PART_ACTIONS,
};

/** What only some kinds have. */
const OWN_KEYS: Readonly<Record<GuardKind, readonly (keyof Table)[]>> = {
  pii: ['detect'],
  injection: ['threshold'],
  ...PART_KEYS,
};

/** Where a guard looks when nobody says it: what a model says gives it no orders. */
const phasesOf = (kind: GuardKind): readonly GuardPhase[] =>
  kind === 'injection' ? ['request'] : GUARD_PHASES;

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: values.map((value) => `"${value}"`).join(', ') });
}

function someOf<Value extends string>(values: readonly [Value, ...Value[]]) {
  const error = `a list of ${values.map((value) => `"${value}"`).join(', ')}`;
  return z
    .array(z.enum(values, { error }), { error })
    .min(1, { error: 'at least one' })
    .transform((named) => values.filter((value) => named.includes(value)));
}

const hold = `milliseconds: a whole number from 1 to ${HOLD_MAX_MS}`;

const threshold = 'a number from 0.01 to 1';

const TABLE = z.strictObject(
  {
    kind: oneOf(GUARD_KINDS).optional(),
    action: oneOf(GUARD_ACTIONS).optional(),
    phases: someOf(GUARD_PHASES).optional(),
    on_error: oneOf(GUARD_DIRECTIONS).optional(),
    on_unscanned: oneOf(GUARD_DIRECTIONS).optional(),
    max_hold_ms: z
      .int({ error: hold })
      .min(1, { error: hold })
      .max(HOLD_MAX_MS, { error: hold })
      .prefault(HOLD_MS),
    detect: someOf(PII_KINDS).optional(),
    threshold: z
      .number({ error: threshold })
      .min(0.01, { error: threshold })
      .max(1, { error: threshold })
      .optional(),
    ...PART_SHAPE,
  },
  { error: 'a table: action = "mask", and what else a guard may say' },
);

/** Its keys, in the order in which they are documented. */
export const GUARD_KEYS: readonly string[] = Object.keys(TABLE.shape);

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** The `[guards.NAME]` tables, the built-in guards that have none among them. */
export const GUARDS = z
  .map(z.string(), TABLE, { error: 'tables like [guards.pii]' })
  .prefault(new Map())
  .transform((tables, context): ReadonlyMap<string, GuardConfig<string>> => {
    const guards = new Map<string, GuardConfig<string>>();
    for (const name of BUILT_IN_GUARDS) guards.set(name, configOf(name, name, DEFAULT));
    for (const [name, table] of tables) {
      const kind = kindOf(name, table);
      if (!NAME.test(name)) fault(context, [name], 'a name of a-z, 0-9, "_" and "-", at most 64');
      else if (kind === undefined)
        fault(context, [name], `kind = one of ${GUARD_KINDS.join(', ')}, or such a name`);
      else {
        tableFaults(context, name, kind, table);
        guards.set(name, configOf(name, kind, table));
      }
    }
    return guards;
  });

type Table = z.output<typeof TABLE>;

const DEFAULT: Table = TABLE.parse({});

function fault(context: z.RefinementCtx, path: string[], message: string): void {
  context.addIssue({ code: 'custom', path, message });
}

/** As its table says; else it has a module, or the name of a kind. */
function kindOf(name: string, table: Table): GuardKind | undefined {
  if (table.kind !== undefined) return table.kind;
  return table.module !== undefined ? 'module' : GUARD_KINDS.find((known) => known === name);
}

/** What a guard of this kind cannot do, or cannot be told. */
function tableFaults(context: z.RefinementCtx, name: string, kind: GuardKind, table: Table): void {
  const own = OWN_KEYS[kind];
  for (const key of Object.values(OWN_KEYS).flat())
    if (table[key] !== undefined && !own.includes(key))
      fault(context, [name, key], `no such line: a guard of kind "${kind}" has ${own.join(', ')}`);
  const needed = kind === 'pii' || kind === 'injection' ? null : PART_NEEDS[kind];
  if (needed !== null && table[needed] === undefined)
    fault(context, [name], `${needed} = …: a guard of kind "${kind}" needs it`);
  const actions = ACTIONS_OF[kind];
  if (table.action !== undefined && !actions.includes(table.action))
    fault(context, [name, 'action'], actions.map((action) => `"${action}"`).join(', '));
}

function configOf(name: string, kind: GuardKind, table: Table): GuardConfig<string> {
  const action = table.action ?? ACTIONS_OF[kind][0];
  // What only tells does not stop anybody.
  const fallback = action === 'flag' ? 'pass' : 'block';
  const onError = table.on_error ?? fallback;
  return {
    name,
    action,
    phases: table.phases ?? phasesOf(kind),
    onError,
    onUnscanned: table.on_unscanned ?? onError,
    maxHoldMs: table.max_hold_ms,
    made: madeOf(kind, table),
  };
}

function madeOf(kind: GuardKind, table: Table): GuardMade<string> {
  if (kind === 'pii') return { kind, detect: table.detect ?? PII_KINDS };
  if (kind === 'injection') return { kind, threshold: table.threshold ?? USUAL_THRESHOLD };
  return partMade(kind, table);
}

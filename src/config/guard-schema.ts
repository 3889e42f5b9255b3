import { z } from 'zod';
import { GUARD_ACTIONS, GUARD_DIRECTIONS, GUARD_PHASES, type GuardAction } from '../guard/guard.ts';
import type { GuardConfig, GuardMade } from '../guard/guard-config.ts';
import { PII_KINDS } from '../guard/pii/pii-kinds.ts';

/** The guards that need no table: each has its name. */
export const BUILT_IN_GUARDS = ['pii'] as const;
type BuiltIn = (typeof BUILT_IN_GUARDS)[number];

/** A held text that waits for longer is no stream any more. */
const HOLD_MAX_MS = 60_000;
const HOLD_MS = 500;

/** What a guard does when nobody says it. */
const ACTION_OF: Readonly<Record<GuardMade['kind'], GuardAction>> = { pii: 'mask' };

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

const TABLE = z.strictObject(
  {
    kind: oneOf(BUILT_IN_GUARDS).optional(),
    action: oneOf(GUARD_ACTIONS).optional(),
    phases: someOf(GUARD_PHASES).prefault([...GUARD_PHASES]),
    on_error: oneOf(GUARD_DIRECTIONS).optional(),
    on_unscanned: oneOf(GUARD_DIRECTIONS).optional(),
    max_hold_ms: z
      .int({ error: hold })
      .min(1, { error: hold })
      .max(HOLD_MAX_MS, { error: hold })
      .prefault(HOLD_MS),
    detect: someOf(PII_KINDS).optional(),
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
  .transform((tables, context): ReadonlyMap<string, GuardConfig> => {
    const guards = new Map<string, GuardConfig>();
    for (const name of BUILT_IN_GUARDS) guards.set(name, configOf(name, name, DEFAULT));
    for (const [name, table] of tables) {
      const kind = table.kind ?? BUILT_IN_GUARDS.find((known) => known === name);
      if (!NAME.test(name)) fault(context, [name], 'a name of a-z, 0-9, "_" and "-", at most 64');
      else if (kind === undefined)
        fault(context, [name], `kind = one of ${BUILT_IN_GUARDS.join(', ')}, or such a name`);
      else guards.set(name, configOf(name, kind, table));
    }
    return guards;
  });

type Table = z.output<typeof TABLE>;

const DEFAULT: Table = TABLE.parse({});

function fault(context: z.RefinementCtx, path: string[], message: string): void {
  context.addIssue({ code: 'custom', path, message });
}

function configOf(name: string, kind: BuiltIn, table: Table): GuardConfig {
  const action = table.action ?? ACTION_OF[kind];
  // What only tells does not stop anybody.
  const fallback = action === 'flag' ? 'pass' : 'block';
  const onError = table.on_error ?? fallback;
  return {
    name,
    action,
    phases: table.phases,
    onError,
    onUnscanned: table.on_unscanned ?? onError,
    maxHoldMs: table.max_hold_ms,
    made: madeOf(kind, table),
  };
}

function madeOf(kind: BuiltIn, table: Table): GuardMade {
  switch (kind) {
    case 'pii':
      return { kind, detect: table.detect ?? PII_KINDS };
  }
}

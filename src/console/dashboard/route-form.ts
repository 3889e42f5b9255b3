/** A route as its editor holds it, and back: what the editor does not know of is kept as it was. */

export interface Link {
  readonly to: string;
  /** As typed; '' and 1 are the same. */
  readonly weight: string;
}

export interface RouteForm {
  readonly targets: readonly Link[];
  readonly fallbacks: readonly Link[];
  /** The other members, as texts; '' is not written down. */
  readonly fields: Readonly<Record<string, string>>;
  readonly fallbackOn: readonly string[] | null;
  readonly strict: boolean;
  readonly others: Readonly<Record<string, unknown>>;
}

export const FALLBACK_REASONS = [
  'rate_limit',
  'timeout',
  'server_error',
  'auth',
  'model_missing',
  'context_length',
  'refusal',
] as const;

/** What holds where a route does not say. */
export const FALLBACK_DEFAULT: readonly string[] = [
  'rate_limit',
  'timeout',
  'server_error',
  'auth',
];

export const NUMBER_FIELDS = {
  retries: 'Further tries of a target',
  first_content_timeout_secs: 'First content within, seconds',
  stall_timeout_secs: 'Longest silence, seconds',
  deadline_secs: 'Deadline of all attempts, seconds',
  max_cost_usd: 'Most a request may cost, USD',
} as const;

const TEXT_FIELDS = ['balance', 'stream_safety', 'affinity'];

const KNOWN = new Set([
  'targets',
  'fallbacks',
  'fallback_on',
  'strict',
  ...TEXT_FIELDS,
  ...Object.keys(NUMBER_FIELDS),
]);

type Value = Readonly<Record<string, unknown>>;

function linkOf(entry: unknown): Link {
  if (typeof entry === 'string') return { to: entry, weight: '' };
  const { to, weight } = entry as Value;
  return { to: String(to), weight: weight === undefined || weight === 1 ? '' : String(weight) };
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** @param value a route's table, as TOML holds it */
export function formOf(value: Value): RouteForm {
  const fields: Record<string, string> = {};
  for (const name of [...TEXT_FIELDS, ...Object.keys(NUMBER_FIELDS)]) {
    const said = value[name];
    fields[name] = said === undefined || said === null ? '' : String(said);
  }
  const reasons = value['fallback_on'];
  return {
    targets: listOf(value['targets']).map(linkOf),
    fallbacks: listOf(value['fallbacks']).map(linkOf),
    fields,
    fallbackOn: Array.isArray(reasons) ? reasons.map(String) : null,
    strict: value['strict'] === true,
    others: Object.fromEntries(Object.entries(value).filter(([name]) => !KNOWN.has(name))),
  };
}

/** @returns the table of a route, without what is empty */
export function tableOf(form: RouteForm): Readonly<Record<string, unknown>> {
  const targets = form.targets
    .filter(({ to }) => to.trim() !== '')
    .map(({ to, weight }) => {
      const number = Number(weight);
      return weight === '' || number === 1 ? to.trim() : { to: to.trim(), weight: number };
    });
  const fallbacks = form.fallbacks.map(({ to }) => to.trim()).filter((to) => to !== '');
  const value: Record<string, unknown> = { ...form.others, targets };
  if (fallbacks.length > 0) value['fallbacks'] = fallbacks;
  if (form.fallbackOn !== null) value['fallback_on'] = form.fallbackOn;
  if (form.strict) value['strict'] = true;
  for (const [name, text] of Object.entries(form.fields)) {
    if (text !== '') value[name] = Object.hasOwn(NUMBER_FIELDS, name) ? Number(text) : text;
  }
  return value;
}

/** @returns the list with one entry a place further up or down */
export function moved<T>(list: readonly T[], from: number, by: -1 | 1): readonly T[] {
  const to = from + by;
  const moving = list[from];
  if (moving === undefined || to < 0 || to >= list.length) return list;
  const others = list.filter((_, index) => index !== from);
  return [...others.slice(0, to), moving, ...others.slice(to)];
}

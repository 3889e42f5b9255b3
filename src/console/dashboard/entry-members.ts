/** What tables of the configuration may say, as their editors ask for it. */

/** What a table of the configuration may hold, as its editor asks for it. */
export interface Member {
  readonly name: string;
  readonly label: string;
  readonly kind: 'number' | 'text' | 'list' | 'flag' | readonly string[];
  readonly hint?: string;
}

/** All that a policy may say; a unit test compares it with the schema of the configuration. */
export const POLICY: readonly Member[] = [
  { name: 'rpm', label: 'Requests a minute', kind: 'number', hint: '0 is off' },
  { name: 'tpm', label: 'Tokens a minute', kind: 'number', hint: '0 is off' },
  { name: 'max_in_flight', label: 'In flight at once', kind: 'number' },
  { name: 'identical_rpm', label: 'Identical requests a minute', kind: 'number' },
  { name: 'budget_usd_per_day', label: 'Budget a day, USD', kind: 'number' },
  { name: 'budget_usd_per_month', label: 'Budget a month, USD', kind: 'number' },
  { name: 'max_cost_per_request_usd', label: 'Most a request may cost, USD', kind: 'number' },
  {
    name: 'models',
    label: 'Models',
    kind: 'list',
    hint: 'Names with commas between; * at the end stands for the rest',
  },
  { name: 'unpriced', label: 'What has no price', kind: ['deny', 'tokens', 'default_rate'] },
  { name: 'mode', label: 'Mode', kind: ['enforce', 'warn', 'off'] },
  {
    name: 'on_exceeded',
    label: 'When it is spent',
    kind: 'text',
    hint: 'refuse, a route, or provider/model',
  },
  { name: 'budget_estimate', label: 'What is reserved', kind: ['likely', 'strict'] },
  { name: 'cap_output', label: 'Cap what nobody limits', kind: 'flag' },
  { name: 'cache', label: 'Tell answers again', kind: ['off', 'exact'] },
  { name: 'cache_match', label: 'Same request by', kind: ['bytes', 'canonical'] },
  { name: 'cache_scope', label: 'Answers shared by', kind: ['tenant', 'key', 'global'] },
  {
    name: 'hash_strategy',
    label: 'Of the body counts',
    kind: ['full_request', 'content+model', 'content'],
  },
  { name: 'cache_ttl_secs', label: 'Told again for, seconds', kind: 'number' },
  { name: 'guards', label: 'Guards', kind: 'list', hint: 'Names with commas between, as pii' },
  {
    name: 'hard_stop',
    label: 'Stop answers at the limit',
    kind: 'flag',
    hint: 'An answer that outruns what was reserved ends there',
  },
  { name: 'strict', label: 'Strict translation', kind: 'flag' },
  { name: 'rehearse', label: 'Faults may be rehearsed', kind: 'flag' },
];

export const TENANT: readonly Member[] = [
  { name: 'name', label: 'Name', kind: 'text' },
  { name: 'policy', label: 'Policy', kind: 'text', hint: 'Counts over all keys of the tenant' },
];

const PER_MILLION = 'USD per million tokens';
export const PRICE: readonly Member[] = [
  { name: 'input', label: 'Input', kind: 'text', hint: PER_MILLION },
  { name: 'output', label: 'Output', kind: 'text', hint: PER_MILLION },
  { name: 'cache_read', label: 'Cache read', kind: 'text', hint: PER_MILLION },
  { name: 'cache_write', label: 'Cache write', kind: 'text', hint: PER_MILLION },
  { name: 'cache_write_1h', label: 'Cache write for an hour', kind: 'text', hint: PER_MILLION },
  { name: 'per_request', label: 'A request', kind: 'text', hint: 'USD' },
  { name: 'free', label: 'Free', kind: 'flag' },
  { name: 'from', label: 'From', kind: 'text', hint: 'A day, as 2026-12-01' },
];

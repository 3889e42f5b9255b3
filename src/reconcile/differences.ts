/** Where our book and a provider's part, and what the likely cause is. */

import { spellingsOf } from '../policy/model-spelling.ts';
import type { CostRow, Place, ProviderBook, UsageRow } from './books.ts';
import type { OwnRow } from './fact-book.ts';

/** In the order in which they are told. */
const USAGE_FIGURES = ['requests', 'input', 'cacheRead', 'cacheWrite', 'output'] as const;
export type Figure = (typeof USAGE_FIGURES)[number] | 'cost';

/** Counts, and for `cost` pico-dollars. */
export interface Difference {
  readonly figure: Figure;
  readonly ours: bigint;
  readonly theirs: bigint;
}

export interface Parting extends Place {
  readonly differences: readonly Difference[];
  readonly causes: readonly string[];
}

export interface Comparison {
  /** Places that both books were asked about. */
  readonly compared: number;
  readonly partings: readonly Parting[];
}

/** Sums of money are told apart from here on: a provider's are made of floats, and rounded. */
const COST_SLACK_PICO = 10_000_000_000n;
const COST_SLACK_PART = 1_000n;

/** How much a day's surplus may differ from its neighbour's lack to be the same requests. */
const MIDNIGHT_PART = 10n;

interface Sums {
  readonly place: Place;
  readonly own: OwnRow[];
  readonly usage: UsageRow[];
  readonly costs: CostRow[];
}

/** Which members of a place a report tells apart. */
interface Grain {
  readonly model: boolean;
  readonly tier: boolean;
}

export function compare(own: readonly OwnRow[], book: ProviderBook): Comparison {
  const ofUsage = compared(
    own.filter(({ kind, day }) => book.kinds.has(kind) && book.usageDays.has(day)),
    book.usage,
    [],
  );
  const ofCosts = compared(
    own.filter(({ day }) => book.costDays.has(day)),
    [],
    book.costs,
  );
  const partings = [...ofUsage.partings, ...ofCosts.partings].sort(byPlace);
  return { compared: ofUsage.compared + ofCosts.compared, partings };
}

function compared(
  own: readonly OwnRow[],
  usage: readonly UsageRow[],
  costs: readonly CostRow[],
): Comparison {
  const theirs = [...usage, ...costs];
  const grain = {
    model: theirs.some(({ model }) => model !== null),
    tier: theirs.some(({ tier }) => tier !== null),
  };
  const names = new Set(theirs.flatMap(({ model }) => model ?? []));
  const sums = new Map<string, Sums>();
  const at = (row: Place): Sums => {
    const place = placed(row, grain);
    const name = [place.day, place.model, place.tier].join('\n');
    const known = sums.get(name);
    if (known !== undefined) return known;
    const made: Sums = { place, own: [], usage: [], costs: [] };
    sums.set(name, made);
    return made;
  };
  for (const row of own) at({ ...row, model: theirName(row.model, names) }).own.push(row);
  for (const row of usage) at(row).usage.push(row);
  for (const row of costs) at(row).costs.push(row);
  const all = [...sums.values()];
  // Anthropic counts none.
  const countsRequests = usage.every(({ usage: { requests } }) => requests !== null);
  const found = all.flatMap((sum): readonly Found[] => {
    const differences =
      costs.length > 0 ? costDifferences(sum) : usageDifferences(sum, countsRequests);
    return differences.length === 0 ? [] : [{ sum, differences }];
  });
  const partings = found.map(({ sum, differences }) => ({
    ...sum.place,
    differences,
    causes: causesOf(sum, differences, found),
  }));
  return { compared: all.length, partings };
}

interface Found {
  readonly sum: Sums;
  readonly differences: readonly Difference[];
}

function placed({ day, model, tier }: Place, grain: Grain): Place {
  return {
    day,
    model: grain.model ? model : null,
    tier: grain.tier ? (tier ?? 'standard') : null,
  };
}

/** Answers name a model as it was asked for or with its date, reports too: one that is the other's spelling is the same. */
function theirName(model: string | null, names: ReadonlySet<string>): string | null {
  if (model === null || names.has(model)) return model;
  const spelled = spellingsOf(model);
  const same = [...names].filter(
    (name) => spelled.includes(name.toLowerCase()) || spellingsOf(name).includes(spelled[0] ?? ''),
  );
  return same.length === 1 ? (same[0] ?? model) : model;
}

function usageDifferences({ own, usage }: Sums, countsRequests: boolean): readonly Difference[] {
  return USAGE_FIGURES.flatMap((figure) => {
    if (figure === 'requests' && !countsRequests) return [];
    const ours = BigInt(own.reduce((sum, row) => sum + row[figure], 0));
    const theirs = BigInt(usage.reduce((sum, row) => sum + (row.usage[figure] ?? 0), 0));
    return ours === theirs ? [] : [{ figure, ours, theirs }];
  });
}

function costDifferences({ own, costs }: Sums): readonly Difference[] {
  const ours = own.reduce((sum, { pico }) => sum + pico, 0n);
  const theirs = costs.reduce((sum, { pico }) => sum + pico, 0n);
  const apart = absolute(ours - theirs);
  const slack = absolute(theirs) / COST_SLACK_PART;
  const isApart = apart > (slack > COST_SLACK_PICO ? slack : COST_SLACK_PICO);
  return isApart ? [{ figure: 'cost', ours, theirs }] : [];
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** The likely ones, the likeliest first; more than one may be true. */
function causesOf(
  { place, own, usage, costs }: Sums,
  differences: readonly Difference[],
  found: readonly Found[],
): readonly string[] {
  const sum = (member: 'requests' | 'estimated' | 'unpriced' | 'retried' | 'failed'): number =>
    own.reduce((all, row) => all + row[member], 0);
  const surplus = (figure: Figure): bigint => {
    const one = differences.find((difference) => difference.figure === figure);
    return one === undefined ? 0n : one.theirs - one.ours;
  };
  const causes: string[] = [];
  if (costs.some(({ isFee }) => isFee))
    return ['fees: the provider tells them apart, our book has them in what each request cost'];
  if (own.length === 0)
    return [
      'other traffic on the account: nothing of this went through the gateway with a virtual key',
    ];
  if (usage.length + costs.length === 0)
    return [
      'another account or a name of its own: the provider has nothing of this; or its report is not complete yet',
    ];
  const neighbour = midnight(place, differences, found);
  if (neighbour !== null)
    causes.push(`a day's border: ${neighbour} parts by as much the other way`);
  const more = surplus('requests') > 0n || (surplus('requests') === 0n && surplus('output') > 0n);
  if (sum('failed') > 0 && (more || surplus('cost') > 0n))
    causes.push(
      `retries billed: attempts that failed here without telling what they used: ${sum('failed')}`,
    );
  if (sum('estimated') > 0)
    causes.push(
      `estimates: ${sum('estimated')} of ${sum('requests')} answers were cut or left before they told their usage, and estimates err low`,
    );
  if (surplus('cost') !== 0n && sum('unpriced') > 0)
    causes.push(`unpriced: requests without a price in our book: ${sum('unpriced')}`);
  const isCached = surplus('cacheRead') !== 0n || surplus('cacheWrite') !== 0n;
  if (isCached && surplus('input') === 0n)
    causes.push('cached: the input is the same, what of it came from a cache is counted otherwise');
  if (more && surplus('requests') > BigInt(sum('failed')))
    causes.push(
      `other traffic on the account: requests beyond what the gateway sent: ${surplus('requests')}`,
    );
  if (surplus('requests') < 0n)
    causes.push('the provider’s report is not complete yet, or another account served a part');
  if (causes.length > 0) return causes;
  if (surplus('cost') !== 0n)
    return [
      surplus('cost') < 0n
        ? 'prices: a discount or credit of the account, or a row of our price book that is too dear'
        : 'prices: another tier or place than the answers named, a fee that no answer tells, or a row of our price book that is too cheap',
    ];
  return ['other traffic on the account, with models or tiers that the gateway sent too'];
}

/** The day before or behind, when what is too much here is missing there: it ran over midnight. */
function midnight(
  { day, model, tier }: Place,
  differences: readonly Difference[],
  found: readonly Found[],
): string | null {
  for (const days of [-1, 1]) {
    const beside = dayBeside(day, days);
    const other = found.find(
      ({ sum: { place } }) => place.day === beside && place.model === model && place.tier === tier,
    );
    if (other === undefined) continue;
    const isSame = differences.every(({ figure, ours, theirs }) => {
      const there = other.differences.find((one) => one.figure === figure);
      if (there === undefined) return false;
      const both = theirs - ours + (there.theirs - there.ours);
      return absolute(both) * MIDNIGHT_PART <= absolute(theirs - ours);
    });
    if (isSame) return beside;
  }
  return null;
}

const DAY_MS = 86_400_000;

function dayBeside(day: string, days: number): string {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

function byPlace(one: Place, other: Place): number {
  const text = ({ day, model, tier }: Place): string => `${day} ${model ?? ''} ${tier ?? ''}`;
  return text(one) < text(other) ? -1 : text(one) > text(other) ? 1 : 0;
}

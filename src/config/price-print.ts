import { rateText, usdText } from '../prices/money.ts';
import type { PriceOverride, PricingConfig } from '../prices/price-book.ts';
import type { PriceTable, SaidRates, SaidTierSet } from '../prices/price-table.ts';

/** The tables `[prices]` as TOML that reads back as the same prices. */
export function priceTexts({ overrides }: PricingConfig): readonly string[] {
  const heading = overrides.length === 0 ? '[prices]' : '[prices]  # default: empty';
  return ['', heading, ...overrides.map(priceText)];
}

function priceText({ provider, model, table }: PriceOverride): string {
  const name = `[prices.${JSON.stringify(`${provider}/${model}`)}]`;
  return ['', name, ...linesOf(table)].join('\n');
}

function linesOf(table: PriceTable): readonly string[] {
  if (table.free) return ['free = true', ...daysOf(table)];
  const lines = [
    ...Object.entries(table.rates).map(([key, rate]) => `${key} = "${rateText(rate)}"`),
  ];
  if (table.perRequest > 0) lines.push(`per_request = "${usdText(table.perRequest)}"`);
  for (const [tool, fee] of Object.entries(table.fees)) lines.push(`${tool} = "${usdText(fee)}"`);
  if (table.tiers.length > 0) lines.push(`tiers = ${tiersText(table)}`);
  const sets = Object.entries(table.serviceTiers).map(([name, set]) => `${name} = ${setText(set)}`);
  if (sets.length > 0) lines.push(`service_tiers = { ${sets.join(', ')} }`);
  const geo = Object.entries(table.geo).map(([place, factor]) => `${place} = "${factor / 1_000}"`);
  if (geo.length > 0) lines.push(`geo = { ${geo.join(', ')} }`);
  const { offPeak } = table;
  if (offPeak !== null) {
    const peak = offPeak.peak.map(([from, to]) => `"${clock(from)}-${clock(to)}"`);
    const off = offPeak.offDays === null ? '' : `, off_days = ${JSON.stringify(offPeak.offDays)}`;
    const hours = `peak = [${peak.join(', ')}], days = [${offPeak.days.join(', ')}]${off}`;
    lines.push(`off_peak = { ${hours}, ${ratesText(offPeak.rates)} }`);
  }
  return [...lines, ...daysOf(table)];
}

function daysOf({ fromMs, untilMs }: PriceTable): readonly string[] {
  const day = (ms: number) => JSON.stringify(new Date(ms).toISOString().slice(0, 10));
  return [
    ...(Number.isFinite(fromMs) ? [`from = ${day(fromMs)}`] : []),
    ...(Number.isFinite(untilMs) ? [`until = ${day(untilMs)}`] : []),
  ];
}

function ratesText(rates: SaidRates): string {
  return Object.entries(rates)
    .map(([key, rate]) => `${key} = "${rateText(rate)}"`)
    .join(', ');
}

function tiersText({ tiers }: SaidTierSet): string {
  return `[${tiers.map(({ over, rates }) => `{ over = ${over}, ${ratesText(rates)} }`).join(', ')}]`;
}

function setText(set: SaidTierSet): string {
  const tiers = set.tiers.length === 0 ? '' : `, tiers = ${tiersText(set)}`;
  return `{ ${ratesText(set.rates)}${tiers} }`;
}

function clock(minutes: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

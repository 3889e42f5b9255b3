import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { type Address, changed } from './address.ts';
import { addressTo, useAsked } from './admin-api.ts';
import { Chart } from './chart.ts';
import {
  Choice,
  type Column,
  csvLink,
  empty,
  money,
  pager,
  panel,
  refusedNote,
  short,
  skeleton,
  sparkline,
  stat,
  table,
} from './elements.ts';
import { DIMENSIONS, type DimensionName, Filters, filtersOf, requestsOf } from './filters.ts';
import {
  compact,
  counted,
  dollars,
  dollarsOnAxis,
  duration,
  picoOf,
  stepName,
  usdOf,
} from './format.ts';
import { h, html } from './html.ts';
import { go } from './navigation.ts';
import { RangePicker } from './range-picker.ts';
import { useScene } from './scene.ts';
import { STEPS, type Step, spanOf } from './time-range.ts';
import type { Spend, Usage, UsagePage } from './told.ts';
import { whoseNumbers } from './whose-numbers.ts';

const MEASURES = { cost: 'Cost', requests: 'Requests', tokens: 'Tokens' } as const;
type Measure = keyof typeof MEASURES;

const tokensOf = (usage: Usage): number => usage.input_tokens + usage.output_tokens;

/** For drawing alone: what is written beside it is the decimal text that was told. */
function drawnOf(usage: Usage, measure: Measure): number {
  if (measure === 'cost') return Number(usage.cost_usd);
  return measure === 'requests' ? usage.requests : tokensOf(usage);
}

function written(usage: Usage, measure: Measure): string {
  if (measure === 'requests') return compact(usage.requests);
  if (measure === 'tokens') return compact(tokensOf(usage));
  const isNone = usage.unpriced > 0 && Number(usage.cost_usd) === 0;
  const cost = isNone ? '' : `${dollars(usage.cost_usd)} `;
  return usage.unpriced > 0 ? `${cost}unpriced (${counted(usage.unpriced)})` : cost.trim();
}

/** @returns the sum of some steps, exact */
function summed(usages: readonly Usage[]): Usage {
  const [first, ...others] = usages;
  if (first === undefined) throw new Error('a series has no step');
  const sum: Record<string, number | string> = { ...first };
  let cost = picoOf(first.cost_usd);
  for (const usage of others) {
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === 'number') sum[name] = Number(sum[name] ?? 0) + value;
    }
    cost += picoOf(usage.cost_usd);
  }
  sum['cost_usd'] = usdOf(cost);
  return sum as unknown as Usage;
}

function SpendChart({
  spend,
  measure,
  address,
  by,
}: {
  readonly spend: Spend;
  readonly measure: Measure;
  readonly address: Address;
  readonly by: string;
}): VNode {
  const { zone } = useScene();
  const steps = useMemo(
    () => spend.starts.map((at) => stepName(at, spend.step, zone)),
    [spend, zone],
  );
  const series = useMemo(
    () =>
      spend.series.map(({ name, is_rest, usage }) => ({
        name: is_rest ? 'All others' : by === '' ? MEASURES[measure] : name,
        isRest: is_rest,
        values: usage.map((one) => drawnOf(one, measure)),
      })),
    [spend, measure, by],
  );
  const sums = useMemo(() => spend.series.map(({ usage }) => summed(usage)), [spend]);
  const format = measure === 'cost' ? dollarsOnAxis : compact;
  return html`
    ${h(Chart, {
      label: `${MEASURES[measure]} over time${by === '' ? '' : ` by ${by}`}`,
      steps,
      series,
      format,
      kind: 'bars',
      height: 260,
      totals: sums.map((usage) => written(usage, measure)),
      hrefs: spend.series.map(({ name, is_rest }) =>
        is_rest || by === '' ? null : changed(address, { [by]: name }),
      ),
    })}
    <details class="behind">
      <summary>The same as a table</summary>
      <div class="scrolls" tabindex="0" role="region" aria-label="Numbers of the chart">
        <table class="grid">
          <caption class="visually-hidden">${MEASURES[measure]} by step</caption>
          <thead><tr><th scope="col">${STEPS[spend.step]}</th>${series.map(
            ({ name }) =>
              html`<th scope="col" class="number">${name === '' ? '(none)' : name}</th>`,
          )}</tr></thead>
          <tbody>${steps.map(
            (step, index) =>
              html`<tr><th scope="row">${step}</th>${spend.series.map(({ usage }) => {
                const one = usage[index];
                return html`<td class="number">${one === undefined ? '' : written(one, measure)}</td>`;
              })}</tr>`,
          )}</tbody>
        </table>
      </div>
    </details>`;
}

function totals(spend: Spend): VNode {
  const { total } = spend;
  const sums = spend.starts.map((_, index) =>
    spend.series.reduce(
      (sum, { usage }) => {
        const one = usage[index];
        if (one === undefined) return sum;
        return {
          cost: sum.cost + Number(one.cost_usd),
          requests: sum.requests + one.requests,
          tokens: sum.tokens + tokensOf(one),
        };
      },
      { cost: 0, requests: 0, tokens: 0 },
    ),
  );
  return html`<div class="stats" id="totals">
    ${stat('Cost', money(total.cost_usd, total.unpriced), sparkline(sums.map(({ cost }) => cost)))}
    ${stat(
      'Requests',
      html`<data value=${total.requests}>${compact(total.requests)}</data>`,
      sparkline(sums.map(({ requests }) => requests)),
    )}
    ${stat(
      'Tokens in',
      html`<data value=${total.input_tokens} title=${counted(total.input_tokens)}>${compact(total.input_tokens)}</data>`,
      html`<b>${compact(total.cache_read_tokens)}</b> read from providers' caches`,
    )}
    ${stat(
      'Tokens out',
      html`<data value=${total.output_tokens} title=${counted(total.output_tokens)}>${compact(total.output_tokens)}</data>`,
      total.reasoning_tokens > 0
        ? html`<b>${compact(total.reasoning_tokens)}</b> of them reasoning`
        : html`mean request <b>${duration(total.facts === 0 ? null : total.duration_ms / total.facts)}</b>`,
    )}
  </div>`;
}

function UsageTable({ address, by }: { readonly address: Address; readonly by: string }): VNode {
  const { zone } = useScene();
  const span = spanOf(address, zone, '7d');
  const query = {
    since: span.since,
    until: span.until ?? undefined,
    ...filtersOf(address),
    by,
    order: address.query['order'],
    cursor: address.query['cursor'],
    limit: '50',
  };
  const page = useAsked<UsagePage>('/usage', query);
  const name = DIMENSIONS[by as DimensionName];
  const columns: readonly Column<UsagePage['rows'][number]>[] = [
    {
      head: name,
      cell: (row) => {
        const value = row.by[by] ?? '';
        return html`<a href=${requestsOf(address, by, value)} title="Its requests">${value === '' ? '(none)' : value}</a>`;
      },
    },
    { head: 'Requests', cell: ({ usage }) => short(usage.requests), isNumber: true },
    { head: 'Tokens in', cell: ({ usage }) => short(usage.input_tokens), isNumber: true },
    { head: 'Tokens out', cell: ({ usage }) => short(usage.output_tokens), isNumber: true },
    {
      head: 'Cache read',
      cell: ({ usage }) => short(usage.cache_read_tokens),
      isNumber: true,
      isExtra: true,
    },
    {
      head: 'Mean time',
      cell: ({ usage }) => duration(usage.facts === 0 ? null : usage.duration_ms / usage.facts),
      isNumber: true,
      isExtra: true,
    },
    { head: 'Cost', cell: ({ usage }) => money(usage.cost_usd, usage.unpriced), isNumber: true },
  ];
  return panel(
    html`By ${name.toLowerCase()}`,
    html`${h(Choice, {
      label: 'Order',
      isBare: true,
      value: address.query['order'] ?? 'cost',
      options: {
        cost: 'Dearest first',
        requests: 'Most requests first',
        tokens: 'Most tokens first',
        name: 'By name',
      },
      onChange: (order) => go(changed(address, { order: order === 'cost' ? undefined : order })),
    })} ${csvLink(addressTo('/usage', { ...query, cursor: undefined, format: 'csv' }))}`,
    page.refused !== null
      ? refusedNote(page.refused, page.again)
      : page.value === null
        ? skeleton()
        : page.value.rows.length === 0
          ? empty('Nothing was used here.', 'Take a longer range, or take a filter away.')
          : html`
            ${table(`Usage by ${by}`, columns, page.value.rows)}
            ${pager(
              page.value.next === null ? null : changed(address, { cursor: page.value.next }),
              address.query['cursor'] === undefined ? null : changed(address, {}),
              `${page.value.rows.length} rows`,
            )}`,
  );
}

export function SpendScreen({ address }: { readonly address: Address }): VNode {
  const { zone, node } = useScene();
  const span = spanOf(address, zone, '7d');
  const asked = address.query['step'] ?? '';
  const step: Step = Object.hasOwn(STEPS, asked) ? (asked as Step) : span.step;
  const said = address.query['by'] ?? 'model';
  const by = Object.hasOwn(DIMENSIONS, said) ? said : '';
  const shown = address.query['show'] ?? '';
  const measure: Measure = Object.hasOwn(MEASURES, shown) ? (shown as Measure) : 'cost';
  const query = {
    since: span.since,
    until: span.until ?? undefined,
    ...filtersOf(address),
    zone,
    step,
    by,
  };
  const spend = useAsked<Spend>(node.ledger === null ? null : '/spend', query);
  const head = html`<header class="screen-head">
    <h1>Spend</h1>
    <div class="row wrap">
      ${h(RangePicker, { address, span })}
      ${h(Choice, {
        label: 'Told apart by',
        isBare: true,
        value: by,
        options: {
          ...Object.fromEntries(
            Object.entries(DIMENSIONS).map(([name, text]) => [name, `By ${text.toLowerCase()}`]),
          ),
          none: 'All as one',
        },
        onChange: (name) => go(changed(address, { by: name })),
      })}
      ${h(Choice, {
        label: 'Step',
        isBare: true,
        value: step,
        options: STEPS,
        onChange: (name) => go(changed(address, { step: name })),
      })}
    </div>
  </header>`;
  if (node.ledger === null) {
    return html`${head}${empty(
      'This gateway keeps no ledger.',
      html`Set <code>data_dir</code> in the configuration, and what is used and what it costs is kept from then on.`,
    )}`;
  }
  const told = spend.value;
  return html`
    ${head}
    <p class="says">${whoseNumbers(node)}</p>
    ${h(Filters, { address })}
    ${
      spend.refused !== null
        ? refusedNote(spend.refused, spend.again)
        : told === null
          ? skeleton()
          : html`<div class=${spend.isLoading ? 'stale' : ''}>
            ${totals(told)}
            ${panel(
              html`${MEASURES[measure]} over time`,
              html`<div class="segments" role="group" aria-label="What is drawn">${Object.entries(
                MEASURES,
              ).map(
                ([name, text]) => html`<a
                  href=${changed(address, { show: name === 'cost' ? undefined : name })}
                  aria-current=${name === measure ? 'true' : undefined}
                  >${text}</a
                >`,
              )}</div> ${csvLink(addressTo('/spend', { ...query, format: 'csv' }))}`,
              told.series.length === 0 || told.total.facts === 0
                ? empty('Nothing was used here.', 'Take a longer range, or take a filter away.')
                : h(SpendChart, { spend: told, measure, address, by }),
            )}
          </div>`
    }
    ${by !== '' && h(UsageTable, { address, by })}
  `;
}

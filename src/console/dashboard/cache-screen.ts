import type { VNode } from 'preact';
import { type Address, changed } from './address.ts';
import { addressTo, useAsked } from './admin-api.ts';
import { Answers } from './cache-answers.ts';
import { GuardsPart } from './cache-guards.ts';
import {
  bar,
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
  stat,
  table,
  when,
} from './elements.ts';
import { DIMENSIONS, type DimensionName, Filters, filtersOf, requestsOf } from './filters.ts';
import { compact, counted, percent } from './format.ts';
import { type Content, h, html } from './html.ts';
import { go } from './navigation.ts';
import { RangePicker } from './range-picker.ts';
import { useScene } from './scene.ts';
import { type Span, spanOf } from './time-range.ts';
import type { PromptBreak, PromptBreaks, PromptCache, PromptCachePage } from './told.ts';
import { whoseNumbers } from './whose-numbers.ts';

const ORDERS = {
  input: 'Most input first',
  saved: 'Most saved first',
  rate: 'Lowest hit rate first',
  name: 'By name',
} as const;

/** A hit rate, exact for whoever asks. */
function rateOf({ hit_rate: rate }: PromptCache): VNode {
  return html`<data value=${rate ?? ''} title=${rate === null ? 'nothing went in' : String(rate)}>${percent(rate)}</data>`;
}

function unpricedNote(tokens: number): VNode | null {
  if (tokens === 0) return null;
  return html`<span class="unpriced" title=${counted(tokens)}>${compact(tokens)} tokens unpriced</span>`;
}

/** What has no price is said, and never shown as nothing. */
function savedOf({ saved_usd: saved, unpriced_tokens: unpriced }: PromptCache): Content {
  if (unpriced > 0 && saved === '0') return unpricedNote(unpriced);
  return html`${money(saved)} ${unpricedNote(unpriced)}`;
}

function totals(total: PromptCache): VNode {
  return html`<div class="stats" id="prompt-cache">
    ${stat('Hit rate of prompts', rateOf(total), bar('Part of the input that came from caches', total.hit_rate ?? 0))}
    ${stat(
      'Read from caches',
      html`<data value=${total.cache_read_tokens} title=${counted(total.cache_read_tokens)}>${compact(total.cache_read_tokens)}</data>`,
      html`of <b>${compact(total.input_tokens)}</b> tokens that went in`,
    )}
    ${stat('Saved by prompts', money(total.saved_usd), unpricedNote(total.unpriced_tokens))}
    ${stat(
      'Paid to write',
      money(total.written_usd),
      html`<b>${compact(total.cache_write_tokens)}</b> tokens went into caches`,
    )}
  </div>`;
}

interface PromptsProps {
  readonly address: Address;
  readonly span: Span;
  readonly by: DimensionName;
}

/** What providers' own caches did. */
function Prompts({ address, span, by }: PromptsProps): VNode {
  const query = {
    since: span.since,
    until: span.until ?? undefined,
    ...filtersOf(address),
    by,
    order: address.query['order'],
    cursor: address.query['cursor'],
    limit: '50',
  };
  const asked = useAsked<PromptCachePage>('/prompt-cache', query);
  if (asked.refused !== null) return refusedNote(asked.refused, asked.again);
  if (asked.value === null) return skeleton();
  const { rows, total, next } = asked.value;
  const columns: readonly Column<PromptCachePage['rows'][number]>[] = [
    {
      head: DIMENSIONS[by],
      cell: (row) => {
        const value = row.by[by] ?? '';
        return html`<a href=${requestsOf(address, by, value)} title="Its requests">${value === '' ? '(none)' : value}</a>`;
      },
    },
    { head: 'Hit rate', cell: ({ use }) => rateOf(use), isNumber: true },
    { head: 'Tokens in', cell: ({ use }) => short(use.input_tokens), isNumber: true },
    { head: 'Read', cell: ({ use }) => short(use.cache_read_tokens), isNumber: true },
    {
      head: 'Written',
      cell: ({ use }) => short(use.cache_write_tokens),
      isNumber: true,
      isExtra: true,
    },
    {
      head: 'Saved',
      cell: ({ use }) => savedOf(use),
      isNumber: true,
    },
  ];
  return html`<div class=${asked.isLoading ? 'stale' : ''}>
    ${totals(total)}
    ${panel(
      html`By ${DIMENSIONS[by].toLowerCase()}`,
      html`${h(Choice, {
        label: 'Order',
        isBare: true,
        value: address.query['order'] ?? 'input',
        options: ORDERS,
        onChange: (order) => go(changed(address, { order: order === 'input' ? undefined : order })),
      })} ${csvLink(addressTo('/prompt-cache', { ...query, cursor: undefined, format: 'csv' }))}`,
      rows.length === 0
        ? empty('Nothing went in here.', 'Take a longer range, or take a filter away.')
        : html`
          ${table(`Prompt caches by ${by}`, columns, rows)}
          ${pager(
            next === null ? null : changed(address, { cursor: next }),
            address.query['cursor'] === undefined ? null : changed(address, {}),
            `${rows.length} rows`,
          )}`,
    )}
  </div>`;
}

/** Where a prompt changes, as somebody who sends it would look for it. */
function placeOf({ part, offset, part_offset: within }: PromptBreak): VNode {
  if (offset === null) return html`<code>${part}</code> was gone`;
  return html`<code>${part}</code>, byte <b>${counted(offset)}</b> of the body <span class="muted">(${counted(within)} of the part)</span>`;
}

function lostOf({ lost_usd: lost, unpriced, sessions }: PromptBreak): VNode {
  if (unpriced === sessions) return money(null);
  return money(lost, unpriced);
}

/** Who sends prompts that no cache can keep. */
function Breaks(): VNode {
  const { zone, node } = useScene();
  const asked = useAsked<PromptBreaks>('/prompt-cache/breaks', {}, 10_000);
  const columns: readonly Column<PromptBreak>[] = [
    {
      head: 'Key',
      cell: ({ tenant, key }) =>
        html`<span class="two"><b>${key ?? '(first kind)'}</b><span class="muted">tenant ${tenant}</span></span>`,
    },
    { head: 'Target', cell: ({ target }) => target },
    { head: 'What changes', cell: placeOf },
    { head: 'Sessions', cell: ({ sessions }) => short(sessions), isNumber: true },
    { head: 'Turns', cell: ({ turns }) => short(turns), isNumber: true, isExtra: true },
    { head: 'Lost', cell: lostOf, isNumber: true },
    { head: 'Last', cell: ({ last }) => when(last, zone), isNumber: true },
  ];
  return panel(
    'Sessions that break their cache',
    null,
    html`
      <p class="says">
        What they send before the first question was another one at three turns or more, so that no provider could have it
        cached. Often a time or an id in the system prompt, or tools in another order. Seen by ${node.name}.
      </p>
      ${
        asked.refused !== null
          ? refusedNote(asked.refused, asked.again)
          : asked.value === null
            ? skeleton(2)
            : asked.value.rows.length === 0
              ? empty('None was seen.', 'Sessions that their callers name are watched.')
              : table('Sessions that break their cache', columns, asked.value.rows)
      }`,
  );
}

export function CacheScreen({ address }: { readonly address: Address }): VNode {
  const { zone, node, session } = useScene();
  const span = spanOf(address, zone, '7d');
  const said = address.query['by'] ?? 'model';
  const by = Object.hasOwn(DIMENSIONS, said) ? (said as DimensionName) : 'model';
  return html`
    <header class="screen-head">
      <h1>Cache and guards</h1>
      <div class="row wrap">
        ${h(RangePicker, { address, span })}
        ${h(Choice, {
          label: 'Told apart by',
          isBare: true,
          value: by,
          options: Object.fromEntries(
            Object.entries(DIMENSIONS).map(([name, text]) => [name, `By ${text.toLowerCase()}`]),
          ),
          onChange: (name) => go(changed(address, { by: name })),
        })}
      </div>
    </header>
    ${
      node.ledger === null
        ? empty(
            'This gateway keeps no ledger.',
            html`Set <code>data_dir</code> in the configuration, and what caches save is known from then on.`,
          )
        : html`
          <p class="says">What providers' own caches of prompts had. ${whoseNumbers(node)}</p>
          ${h(Filters, { address })}
          ${h(Prompts, { address, span, by })}`
    }
    ${h(Breaks, {})}
    ${session.tenants === null && html`${h(Answers, {})} ${h(GuardsPart, {})}`}
  `;
}

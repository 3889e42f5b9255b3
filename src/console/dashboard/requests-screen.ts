import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { type Address, changed, hrefOf } from './address.ts';
import { addressTo, useAsked } from './admin-api.ts';
import {
  badge,
  Choice,
  type Column,
  costOf,
  csvLink,
  empty,
  pager,
  refusedNote,
  short,
  skeleton,
  type Tone,
  table,
} from './elements.ts';
import { Filters, filtersOf } from './filters.ts';
import { duration, instant } from './format.ts';
import { h, html } from './html.ts';
import { icon } from './icons.ts';
import { go } from './navigation.ts';
import { RangePicker } from './range-picker.ts';
import { useScene } from './scene.ts';
import { spanOf } from './time-range.ts';
import type { Page, RequestRow } from './told.ts';
import { whoseNumbers } from './whose-numbers.ts';

const OUTCOMES = {
  '': 'Any outcome',
  complete: 'complete',
  client_gone: 'client_gone',
  upstream_cut: 'upstream_cut',
  upstream_error: 'upstream_error',
  timeout: 'timeout',
  drained: 'drained',
  rejected: 'rejected',
  gateway_error: 'gateway_error',
} as const;

const TONES: Readonly<Record<string, Tone>> = {
  '2': 'good',
  '3': 'quiet',
  '4': 'warn',
  '5': 'bad',
  complete: 'good',
  client_gone: 'warn',
  drained: 'warn',
};

/** A status of HTTP, or how a request ended. */
export function toneOf(status: string): Tone {
  return TONES[/^\d/.test(status) ? (status[0] ?? '') : status] ?? 'bad';
}

export function statusBadge(status: string): VNode {
  return badge(toneOf(status), status === '' ? '–' : status.replaceAll('_', ' '));
}

export function RequestsScreen({ address }: { readonly address: Address }): VNode {
  const { zone, node } = useScene();
  const span = spanOf(address, zone, '24h');
  const [typed, setTyped] = useState(address.query['q'] ?? '');
  const query = {
    since: span.since,
    until: span.until ?? undefined,
    ...filtersOf(address),
    q: address.query['q'],
    outcome: address.query['outcome'],
    attempts: address.query['attempts'],
    cursor: address.query['cursor'],
    limit: '50',
  };
  const page = useAsked<Page<RequestRow> & { readonly searched_to: string | null }>(
    node.ledger === null ? null : '/requests',
    query,
  );
  const columns: readonly Column<RequestRow>[] = [
    {
      head: 'Time',
      cell: (row) =>
        html`<a href=${hrefOf(['requests', row.id])}><time datetime=${row.at}>${instant(row.at, zone)}</time></a>`,
    },
    {
      head: 'Status',
      cell: (row) =>
        html`${statusBadge(row.status)} ${row.outcome !== 'complete' && row.outcome !== row.status && statusBadge(row.outcome)}`,
    },
    {
      head: 'Model',
      cell: (row) => html`<span class="two"
        ><b>${row.model === '' ? '(none)' : row.model}</b
        ><span class="muted">${row.provider}${row.route === '' ? '' : ` by ${row.route}`}${
          row.attempt > 1 ? `, attempt ${row.attempt}` : ''
        }</span></span
      >`,
    },
    {
      head: 'Key',
      cell: (row) => html`<span class="two"
        ><a href=${changed(address, { key: row.key })} title="Only this key">${row.key === '' ? '–' : row.key}</a
        ><span class="muted">tenant ${row.tenant}</span></span
      >`,
    },
    { head: 'In', cell: (row) => short(row.input_tokens), isNumber: true },
    { head: 'Out', cell: (row) => short(row.output_tokens), isNumber: true },
    { head: 'First content', cell: (row) => duration(row.ttft_ms), isNumber: true, isExtra: true },
    { head: 'Time taken', cell: (row) => duration(row.duration_ms), isNumber: true },
    { head: 'Cost', cell: (row) => costOf(row.cost_usd, row.cost_status), isNumber: true },
  ];
  const search = (event: Event): void => {
    event.preventDefault();
    const q = typed.trim();
    // A whole id leads to its request; a beginning of one is searched for.
    go(changed(address, { q }));
  };
  const head = html`<header class="screen-head">
    <h1>Requests</h1>
    <div class="row wrap">
      ${h(RangePicker, { address, span })}
      ${h(Choice, {
        label: 'Outcome',
        isBare: true,
        value: address.query['outcome'] ?? '',
        options: OUTCOMES,
        onChange: (outcome) => go(changed(address, { outcome })),
      })}
      ${h(Choice, {
        label: 'Attempts',
        isBare: true,
        value: address.query['attempts'] ?? 'final',
        options: { final: 'Last attempts', all: 'All attempts' },
        onChange: (attempts) =>
          go(changed(address, { attempts: attempts === 'final' ? undefined : attempts })),
      })}
    </div>
  </header>
  <form class="row search" role="search" onSubmit=${search}>
    ${icon('search')}
    <input
      id="search"
      type="search"
      aria-label="The beginning of a request id"
      placeholder="req_…"
      value=${typed}
      onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)}
    />
    <button type="submit">Search</button>
  </form>`;
  if (node.ledger === null) {
    return html`${head}${empty(
      'This gateway keeps no ledger.',
      html`Set <code>data_dir</code> in the configuration, and requests are kept from then on.`,
    )}`;
  }
  const told = page.value;
  return html`
    ${head}
    <p class="says">${whoseNumbers(node)}</p>
    <div class="row between wrap">
      ${h(Filters, { address })}
      ${csvLink(addressTo('/requests', { ...query, cursor: undefined, format: 'csv' }))}
    </div>
    ${
      page.refused !== null
        ? refusedNote(page.refused, page.again)
        : told === null
          ? skeleton(10)
          : html`<section class="panel ${page.isLoading ? 'stale' : ''}">
            ${
              told.rows.length === 0
                ? empty(
                    'No request here.',
                    told.next === null
                      ? 'Take a longer range or fewer filters; requests show a second after they have ended.'
                      : 'None was found so far: the next page searches further back.',
                  )
                : table('Requests, the youngest first', columns, told.rows)
            }
            ${pager(
              told.next === null ? null : changed(address, { cursor: told.next }),
              address.query['cursor'] === undefined ? null : changed(address, {}),
              told.searched_to === null
                ? `${told.rows.length} rows`
                : `${told.rows.length} rows, searched back to ${instant(told.searched_to, zone)}`,
            )}
          </section>`
    }`;
}

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useAsked } from './admin-api.ts';
import { badge, button, costOf, money, panel, refusedNote, skeleton, table } from './elements.ts';
import { Explain } from './explain.ts';
import { counted, duration, instant } from './format.ts';
import { h, html } from './html.ts';
import { statusBadge } from './requests-screen.ts';
import { useScene } from './scene.ts';
import type { Request } from './told.ts';

type Fact = Request['attempts'][number];

/** What a fact says under a name, as text; '' where it says nothing. */
function text(fact: Fact, name: string): string {
  const value = fact[name];
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function number(fact: Fact, name: string): number | null {
  const value = fact[name];
  return typeof value === 'number' ? value : null;
}

const COUNTS = {
  input_tokens: 'Input',
  output_tokens: 'Output',
  cache_read_tokens: 'Cache read',
  cache_write_tokens: 'Cache write',
  reasoning_tokens: 'Reasoning',
} as const;

interface Line {
  readonly what: string;
  readonly tokens: number | null;
  readonly cost: string | null;
  readonly isCostTold: boolean;
}

/** What an attempt cost, part by part: its billing lines where it has some, else its counts. */
function linesOf(fact: Fact): readonly Line[] {
  const lines = fact['lines'];
  if (Array.isArray(lines)) {
    return (lines as readonly Readonly<Record<string, unknown>>[]).map((line) => ({
      what: [line['model'], line['kind']].filter((part) => typeof part === 'string').join(', '),
      tokens: Number(line['input_tokens'] ?? 0) + Number(line['output_tokens'] ?? 0),
      cost: typeof line['cost_usd'] === 'string' ? line['cost_usd'] : null,
      isCostTold: true,
    }));
  }
  return Object.entries(COUNTS).flatMap(([name, what]) => {
    const tokens = number(fact, name);
    return tokens === null ? [] : [{ what, tokens, cost: null, isCostTold: false }];
  });
}

function definition(name: string, value: unknown): VNode {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function attempt(fact: Fact): VNode {
  const lines = linesOf(fact);
  const cost = typeof fact['cost_usd'] === 'string' ? fact['cost_usd'] : null;
  const why = text(fact, 'unpriced_reason');
  const target = text(fact, 'target_model');
  return html`<li class="attempt ${fact['final'] === true ? 'final' : ''}">
    <header class="row wrap">
      <b>${target === '' ? `${text(fact, 'provider')} ${text(fact, 'model')}` : target}</b>
      ${statusBadge(text(fact, 'upstream_status'))} ${statusBadge(text(fact, 'outcome'))}
      ${fact['final'] === true && badge('accent', 'final')}
      ${fact['resumed'] === true && badge('warn', 'resumed')}
      <span class="push">${costOf(cost, text(fact, 'cost_status'))}</span>
    </header>
    <dl class="facts">
      ${definition('Model', text(fact, 'model') || '–')}
      ${definition('Endpoint', text(fact, 'endpoint'))}
      ${definition('First byte', duration(number(fact, 'ttfb_ms')))}
      ${definition('Time taken', duration(number(fact, 'duration_ms')))}
      ${definition('Usage is', text(fact, 'usage_source'))}
      ${definition('Cost is', why === '' ? text(fact, 'cost_status').replaceAll('_', ' ') : `unpriced: ${why}`)}
      ${definition('Prices of', text(fact, 'price_version') || '–')}
      ${definition('Tier', text(fact, 'service_tier') || '–')}
    </dl>
    ${
      lines.length > 0 &&
      table(
        'What was used',
        [
          { head: 'What', cell: (row: Line) => row.what },
          {
            head: 'Tokens',
            cell: (row: Line) => (row.tokens === null ? '–' : counted(row.tokens)),
            isNumber: true,
          },
          ...(lines.some(({ isCostTold }) => isCostTold)
            ? [{ head: 'Cost', cell: (row: Line) => money(row.cost), isNumber: true }]
            : []),
        ],
        lines,
      )
    }
    <details class="behind"><summary>The whole fact</summary>
      <pre tabindex="0">${JSON.stringify(fact, null, 2)}</pre>
    </details>
  </li>`;
}

const CLASSES = ['developer', 'application', 'agent'];

export function RequestScreen({ id }: { readonly id: string }): VNode {
  const { zone } = useScene();
  const asked = useAsked<Request>(`/requests/${encodeURIComponent(id)}`);
  const [isExplained, setExplained] = useState(false);
  const head = html`<header class="screen-head">
    <p class="crumbs"><a href="#/requests">Requests</a> / </p>
    <h1 class="mono">${id}</h1>
  </header>`;
  if (asked.refused !== null) return html`${head}${refusedNote(asked.refused, asked.again)}`;
  if (asked.value === null) return html`${head}${skeleton()}`;
  const { attempts, total_cost_usd: total } = asked.value;
  const last = attempts.find((fact) => fact['final'] === true) ?? attempts.at(-1);
  if (last === undefined) return html`${head}`;
  const asks = text(last, 'route') || text(last, 'target_model') || text(last, 'requested_model');
  const keyClass = text(last, 'key_class');
  const key = text(last, 'key_id');
  const unpriced = attempts.filter((fact) => fact['cost_status'] === 'unpriced').length;
  return html`
    ${head}
    ${panel(
      'Request',
      asks === ''
        ? null
        : button({
            text: isExplained ? 'Hide the explanation' : 'Explain',
            isSmall: true,
            onClick: () => setExplained(!isExplained),
          }),
      html`<dl class="facts">
        ${definition('Ended', instant(text(last, 'time'), zone))}
        ${definition('Asked for', text(last, 'requested_model') || '–')}
        ${definition('Route', text(last, 'route') || '–')}
        ${definition('Tenant', html`<a href=${`#/requests?tenant=${encodeURIComponent(text(last, 'tenant_id'))}`}>${text(last, 'tenant_id')}</a>`)}
        ${definition('Key', key === '' ? '–' : html`<a href=${`#/keys?q=${encodeURIComponent(key)}`}>${key}</a>`)}
        ${definition('Class', keyClass || '–')}
        ${definition('Policy', text(last, 'policy') || '–')}
        ${definition('Cost in all', total === null && unpriced === 0 ? costOf(null, 'not_billed') : money(total, unpriced))}
        ${definition('Trace', text(last, 'trace_id') || '–')}
        ${definition('Node', text(last, 'node'))}
      </dl>`,
    )}
    ${
      isExplained &&
      panel(
        'Where such a request would go now',
        null,
        h(Explain, {
          wish: {
            model: asks,
            wire: text(last, 'dialect') === 'anthropic' ? 'anthropic' : 'openai',
            ...(key === '' ? {} : { key }),
            ...(text(last, 'tenant_id') === '' ? {} : { tenant: text(last, 'tenant_id') }),
            ...(CLASSES.includes(keyClass) ? { class: keyClass } : {}),
          },
        }),
      )
    }
    ${panel(
      attempts.length === 1 ? 'Its one attempt' : `Its ${attempts.length} attempts`,
      null,
      html`<ol class="trail">${attempts.map(attempt)}</ol>`,
    )}
  `;
}

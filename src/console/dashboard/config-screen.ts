import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { type Address, changed, hrefOf } from './address.ts';
import { addressTo, useAsked, write } from './admin-api.ts';
import {
  button,
  empty,
  pager,
  panel,
  refusedNote,
  skeleton,
  table,
  tabs,
  WriteDialog,
} from './elements.ts';
import { instant } from './format.ts';
import { h, html } from './html.ts';
import { statusBadge } from './requests-screen.ts';
import { useScene, whyNot } from './scene.ts';
import type { AuditRow, Config, Page } from './told.ts';

function written(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function Effective({ config }: { readonly config: Config }): VNode {
  return html`<pre class="toml" tabindex="0" aria-label="The effective configuration">${config.effective}</pre>`;
}

function Origins({ config }: { readonly config: Config }): VNode {
  const [typed, setTyped] = useState('');
  const rows = config.origins.filter(({ key }) => key.includes(typed.trim()));
  return html`
    <div class="row search"><input id="search" type="search" aria-label="A part of a key" placeholder="Key" value=${typed}
      onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)} /></div>
    ${
      rows.length === 0
        ? empty(
            'Nothing here is other than the default.',
            'Values show here with the file, line, variable or person that says them.',
          )
        : table(
            'Values that are not the default',
            [
              { head: 'Key', cell: (row) => html`<code>${row.key}</code>` },
              {
                head: 'Value',
                cell: (row) => html`<span class="mono value">${written(row.value)}</span>`,
              },
              {
                head: 'Said by',
                cell: (row) => html`<span class="mono">${row.origin}</span>`,
              },
              {
                head: 'Where',
                cell: (row) =>
                  row.place === null ? '–' : html`<span class="mono">${row.place}</span>`,
              },
            ],
            rows,
          )
    }`;
}

function Pending({
  config,
  onReload,
  why,
}: {
  readonly config: Config;
  readonly onReload: () => void;
  readonly why: string | null;
}): VNode {
  return html`
    <div class="row between wrap">
      <p class="says">${
        config.pending.length === 0
          ? 'What runs is what the file says.'
          : `The file says ${config.pending.length} thing${config.pending.length === 1 ? '' : 's'} that the gateway does not do yet.`
      }</p>
      ${button({ text: 'Reload', kind: config.pending.length > 0 ? 'primary' : 'plain', whyNot: why, onClick: onReload })}
    </div>
    ${
      config.pending.length > 0 &&
      table(
        'What the file says and the running configuration does not',
        [
          { head: 'Key', cell: (row) => html`<code>${row.key}</code>` },
          { head: 'Runs', cell: (row) => html`<del class="mono">${row.running}</del>` },
          { head: 'The file says', cell: (row) => html`<ins class="mono">${row.file}</ins>` },
        ],
        config.pending,
      )
    }
    ${
      config.refused.length > 0 &&
      html`<h3>Run-time entries that do not hold</h3>
        ${table(
          'Entries of the overlay that were refused',
          [
            { head: 'Key', cell: (row) => html`<code>${row.key}</code>` },
            { head: 'Found', cell: (row) => row.found },
            { head: 'Expected', cell: (row) => row.expected },
          ],
          config.refused,
        )}`
    }`;
}

function Audit({ address }: { readonly address: Address }): VNode {
  const scene = useScene();
  const why = whyNot(scene, 'operator');
  const page = useAsked<Page<AuditRow>>(why === null ? '/audit' : null, {
    cursor: address.query['cursor'],
    limit: '50',
  });
  if (why !== null) return empty('The audit log is not shown to viewers.', why);
  if (page.refused !== null) return refusedNote(page.refused, page.again);
  if (page.value === null) return skeleton();
  const { rows, next } = page.value;
  const side = (title: string, value: unknown): VNode | false =>
    value !== null &&
    value !== undefined &&
    html`<div><h3>${title}</h3><pre tabindex="0">${JSON.stringify(value, null, 2)}</pre></div>`;
  return html`<section class="panel">
    ${
      rows.length === 0
        ? empty(
            'Nobody has changed anything.',
            'Each write of the admin API leaves a line here: who, what, why.',
          )
        : table(
            'Audit log, the youngest first',
            [
              {
                head: 'Time',
                cell: (row) => html`<time datetime=${row.at}>${instant(row.at, scene.zone)}</time>`,
              },
              {
                head: 'Who',
                cell: (row) =>
                  html`<span class="two"><b>${row.author}</b><span class="muted">${row.role}</span></span>`,
              },
              {
                head: 'What',
                cell: (row) =>
                  html`<span class="two"><b>${row.operation}</b><span class="muted mono">${row.place}</span></span>`,
              },
              {
                head: 'Why',
                cell: (row) =>
                  row.reason === '' ? html`<span class="muted">no reason given</span>` : row.reason,
              },
              { head: 'Status', cell: (row) => statusBadge(String(row.status)) },
              {
                head: 'Change',
                cell: (row) =>
                  row.before == null && row.after == null
                    ? '–'
                    : html`<details><summary>Show</summary><div class="sides">${side('Before', row.before)}${side('After', row.after)}</div></details>`,
              },
            ],
            rows,
          )
    }
    ${pager(
      next === null ? null : changed(address, { cursor: next }),
      address.query['cursor'] === undefined ? null : changed(address, {}),
      `${rows.length} lines`,
      addressTo('/audit', { limit: '1000', format: 'csv' }),
    )}
  </section>`;
}

interface Reloaded {
  readonly ok: boolean;
  readonly problems: readonly unknown[];
}

export function ConfigScreen({ address }: { readonly address: Address }): VNode {
  const scene = useScene();
  const asked = useAsked<Config>('/config');
  const [isReloading, setReloading] = useState(false);
  const [problems, setProblems] = useState<readonly string[]>([]);
  const tab = address.query['tab'] ?? 'changes';
  const href = (name: string): string =>
    hrefOf(['config'], name === 'changes' ? {} : { tab: name });
  const config = asked.value;
  const body = (): VNode => {
    if (tab === 'audit') return h(Audit, { address });
    if (asked.refused !== null) return refusedNote(asked.refused, asked.again);
    if (config === null) return skeleton();
    if (tab === 'effective') return panel('Effective', null, h(Effective, { config }));
    if (tab === 'origins') return panel('Who says what', null, h(Origins, { config }));
    return panel(
      'File and running configuration',
      null,
      h(Pending, { config, onReload: () => setReloading(true), why: whyNot(scene, 'owner') }),
    );
  };
  return html`
    <header class="screen-head"><h1>Configuration</h1>
      ${config !== null && html`<p class="says">${config.source === null ? 'No file: variables and defaults alone.' : html`From <code>${config.source}</code>`}</p>`}
    </header>
    ${tabs('Configuration', tab, [
      { name: 'changes', text: 'Changes', href: href('changes') },
      { name: 'effective', text: 'Effective', href: href('effective') },
      { name: 'origins', text: 'Origins', href: href('origins') },
      { name: 'audit', text: 'Audit log', href: href('audit') },
    ])}
    ${
      problems.length > 0 &&
      html`<div class="note bad" role="alert"><p>The file was not taken; what ran goes on.</p><ul>${problems.map((text) => html`<li>${text}</li>`)}</ul></div>`
    }
    ${body()}
    ${
      isReloading &&
      h(WriteDialog, {
        title: 'Reload the configuration',
        says: 'The file is read again. If something in it is wrong, what runs goes on.',
        doing: 'Reload',
        onClose: () => setReloading(false),
        run: async (reason) => {
          const { value } = await write<Reloaded>('POST', '/config/reload', { reason });
          setProblems(value.ok ? [] : value.problems.map(written));
          scene.say(value.ok ? 'The configuration is read again.' : 'The file was not taken.');
          asked.again();
        },
      })
    }`;
}

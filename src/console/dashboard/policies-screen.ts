import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { type Address, changed, hrefOf } from './address.ts';
import { type Asked, addressTo, useAsked } from './admin-api.ts';
import {
  badge,
  bar,
  button,
  type Column,
  empty,
  pager,
  refusedNote,
  short,
  skeleton,
  table,
  tabs,
} from './elements.ts';
import { EntryDialog, RemoveDialog } from './entry-editor.ts';
import { type Member, POLICY, PRICE, TENANT } from './entry-members.ts';
import { duration } from './format.ts';
import { h, html } from './html.ts';
import { AllowDialog, DenyDialog } from './keys-screen.ts';
import { go } from './navigation.ts';
import { originNote } from './origin.ts';
import { type Role, useScene, whyNot } from './scene.ts';
import type { Entry, Limit, Page, Tenant } from './told.ts';

interface Kind {
  readonly collection: string;
  readonly kind: string;
  readonly members: readonly Member[];
  readonly nameHint: string;
  readonly role: Role;
}

const KINDS = {
  policies: {
    collection: '/policies',
    kind: 'policy',
    members: POLICY,
    nameHint: 'As keys, tenants and classes name it.',
    role: 'owner',
  },
  tenants: {
    collection: '/tenants',
    kind: 'tenant',
    members: TENANT,
    nameHint: 'A decimal id.',
    role: 'operator',
  },
  prices: {
    collection: '/prices',
    kind: 'price',
    members: PRICE,
    nameHint: 'provider/model; provider/* where all of it is free.',
    role: 'owner',
  },
} as const satisfies Record<string, Kind>;

function shownMember(value: unknown): string {
  if (Array.isArray(value) && value.every((one) => typeof one === 'string'))
    return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What a table says, in one line. */
function valueLine(value: Readonly<Record<string, unknown>>): VNode {
  const members = Object.entries(value).filter(([, one]) => one !== null && one !== '');
  return html`<span class="members">${members.map(
    ([name, one]) =>
      html`<span class="member"><span class="muted">${name}</span> ${shownMember(one)}</span>`,
  )}</span>`;
}

type Doing = 'edit' | 'remove' | 'deny' | 'allow' | 'new';

interface ListProps {
  readonly address: Address;
  readonly kind: Kind;
}

/** A page of rows with what may be done to each. */
function useList<Row>({ address, kind }: ListProps): {
  readonly page: Asked<Page<Row>>;
  readonly doing: readonly [string, Doing, string | null] | null;
  readonly act: (name: string, what: Doing, etag?: string | null) => void;
  readonly stop: () => void;
} {
  const page = useAsked<Page<Row>>(kind.collection, {
    q: kind.kind === 'price' ? address.query['q'] : undefined,
    cursor: address.query['cursor'],
    limit: '50',
  });
  const [doing, setDoing] = useState<readonly [string, Doing, string | null] | null>(null);
  return {
    page,
    doing,
    act: (name, what, etag = null) => setDoing([name, what, etag]),
    stop: () => setDoing(null),
  };
}

/** The dialogs of a list: what is read first where a revision is replaced. */
function dialogs(
  kind: Kind,
  doing: readonly [string, Doing, string | null] | null,
  onDone: () => void,
  onClose: () => void,
): VNode | null {
  if (doing === null) return null;
  const [name, what] = doing;
  const path = `${kind.collection}/${encodeURIComponent(name)}`;
  const { collection, kind: word, members, nameHint } = kind;
  if (what === 'deny') return h(DenyDialog, { path, what: `${word} ${name}`, onDone, onClose });
  if (what === 'allow') return h(AllowDialog, { path, what: `${word} ${name}`, onDone, onClose });
  if (what === 'remove') return h(RemoveRead, { path, what: `${word} ${name}`, onDone, onClose });
  return h(EntryDialog, {
    collection,
    kind: word,
    members,
    nameHint,
    name: what === 'new' ? null : name,
    onDone,
    onClose,
  });
}

interface RemoveReadProps {
  readonly path: string;
  readonly what: string;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Reads which revision is taken back. */
function RemoveRead(props: RemoveReadProps): VNode | null {
  const asked = useAsked<unknown>(props.path);
  if (asked.value === null && asked.refused === null) return null;
  return h(RemoveDialog, { ...props, etag: asked.etag });
}

function listed<Row>(
  address: Address,
  page: Asked<Page<Row>>,
  csv: string,
  caption: string,
  columns: readonly Column<Row>[],
  nothing: VNode,
): VNode {
  if (page.refused !== null) return refusedNote(page.refused, page.again);
  if (page.value === null) return skeleton();
  const { rows, next } = page.value;
  return html`<section class="panel ${page.isLoading ? 'stale' : ''}">
    ${rows.length === 0 ? nothing : table(caption, columns, rows)}
    ${pager(
      next === null ? null : changed(address, { cursor: next }),
      address.query['cursor'] === undefined ? null : changed(address, {}),
      `${rows.length} rows`,
      csv,
    )}
  </section>`;
}

function Entries({ address, kind }: ListProps): VNode {
  const scene = useScene();
  const { page, doing, act, stop } = useList<Entry>({ address, kind });
  const [typed, setTyped] = useState(address.query['q'] ?? '');
  const why = whyNot(scene, kind.role);
  const isPrice = kind.kind === 'price';
  const columns: readonly Column<Entry>[] = [
    { head: isPrice ? 'Model' : 'Name', cell: (row) => html`<b>${row.name}</b>` },
    { head: 'Says', cell: (row) => valueLine(row.value) },
    { head: 'Written in', cell: (row) => originNote(row.origin, scene.zone), isExtra: true },
    {
      head: '',
      cell: (row) => {
        const lock = row.origin.locked ? 'The file says that this is locked.' : why;
        return html`<span class="row actions">
          ${button({ text: 'Change', kind: 'plain', isSmall: true, whyNot: lock, onClick: () => act(row.name, 'edit') })}
          ${
            row.origin.overlay !== null &&
            button({
              text: 'Take back',
              kind: 'plain',
              isSmall: true,
              whyNot: lock,
              onClick: () => act(row.name, 'remove'),
            })
          }
        </span>`;
      },
    },
  ];
  const search = (event: Event): void => {
    event.preventDefault();
    go(changed(address, { q: typed.trim() }));
  };
  return html`
    <div class="row between wrap">
      ${
        isPrice
          ? html`<form class="row search" role="search" onSubmit=${search}>
              <input id="search" type="search" aria-label="A part of a model's name" placeholder="Model" value=${typed}
                onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)} />
              <button type="submit">Search</button>
            </form>`
          : html`<span></span>`
      }
      ${button({ text: `New ${kind.kind}`, icon: 'plus', kind: 'primary', whyNot: why, onClick: () => act('', 'new') })}
    </div>
    ${listed(
      address,
      page,
      addressTo(kind.collection, { q: isPrice ? address.query['q'] : undefined, format: 'csv' }),
      kind.kind,
      columns,
      isPrice
        ? empty(
            address.query['q'] === undefined
              ? 'There is no price of your own.'
              : 'No price is called so.',
            'Prices of models that providers publish are in the book; what you pay instead is written here.',
          )
        : empty(
            'There is no policy.',
            'A policy says what keys may use: limits, budgets, models. The one named "default" holds for all that have no other.',
          ),
    )}
    ${dialogs(kind, doing, page.again, stop)}`;
}

function Tenants({ address, kind }: ListProps): VNode {
  const scene = useScene();
  const { page, doing, act, stop } = useList<Tenant>({ address, kind });
  const why = whyNot(scene, kind.role);
  const columns: readonly Column<Tenant>[] = [
    {
      head: 'Tenant',
      cell: (row) => html`<span class="two"
        ><b>${row.name ?? '(no name)'}</b><a class="mono" href=${hrefOf(['requests'], { tenant: row.id })}>${row.id}</a></span
      >`,
    },
    { head: 'Policy', cell: (row) => row.policy ?? '–' },
    {
      head: 'State',
      cell: (row) =>
        row.denied === null
          ? badge('good', 'allowed')
          : badge('bad', `denied: ${row.denied.reason}`),
    },
    { head: 'Written in', cell: (row) => originNote(row.origin, scene.zone), isExtra: true },
    {
      head: '',
      cell: (row) => {
        const lock = row.origin.locked ? 'The file says that this is locked.' : why;
        return html`<span class="row actions">
          ${button({ text: 'Change', kind: 'plain', isSmall: true, whyNot: lock, onClick: () => act(row.id, 'edit') })}
          ${
            row.denied === null
              ? button({
                  text: 'Deny',
                  kind: 'plain',
                  isSmall: true,
                  whyNot: why,
                  onClick: () => act(row.id, 'deny'),
                })
              : button({
                  text: 'Allow',
                  kind: 'plain',
                  isSmall: true,
                  whyNot: why,
                  onClick: () => act(row.id, 'allow'),
                })
          }
          ${
            row.origin.overlay !== null &&
            button({
              text: 'Take back',
              kind: 'plain',
              isSmall: true,
              whyNot: lock,
              onClick: () => act(row.id, 'remove'),
            })
          }
        </span>`;
      },
    },
  ];
  return html`
    <div class="row between wrap"><span></span>
      ${button({ text: 'New tenant', icon: 'plus', kind: 'primary', whyNot: why, onClick: () => act('', 'new') })}
    </div>
    ${listed(address, page, addressTo(kind.collection, { format: 'csv' }), 'Tenants', columns, empty('No tenant is named.', 'A tenant needs an entry only for a name or a policy; its keys work without.'))}
    ${dialogs(kind, doing, page.again, stop)}`;
}

const UNITS = {
  requests: 'requests a minute',
  tokens: 'tokens a minute',
  in_flight: 'in flight',
} as const;

function Limits({ address }: { readonly address: Address }): VNode {
  const page = useAsked<Page<Limit>>(
    '/limits',
    { cursor: address.query['cursor'], limit: '100' },
    5_000,
  );
  const columns: readonly Column<Limit>[] = [
    {
      head: 'Whose',
      cell: (row) =>
        html`<span class="two"><b>${row.id === '' ? row.scope : row.id}</b><span class="muted">${row.scope}</span></span>`,
    },
    { head: 'Of', cell: (row) => UNITS[row.unit] },
    {
      head: 'Used',
      cell: (row) => {
        const used = row.limit === 0 ? 0 : 1 - Math.max(0, row.left) / row.limit;
        return bar(`${Math.round(used * 100)} % used`, used);
      },
    },
    { head: 'Left', cell: (row) => short(Math.max(0, Math.floor(row.left))), isNumber: true },
    { head: 'Limit', cell: (row) => short(row.limit), isNumber: true },
    {
      head: 'Whole again',
      cell: (row) => (row.full_in_ms === 0 ? 'now' : `in ${duration(row.full_in_ms)}`),
      isNumber: true,
    },
  ];
  return listed(
    address,
    page,
    addressTo('/limits', { format: 'csv' }),
    'Limits, and what is left of them',
    columns,
    empty(
      'No limit was touched yet.',
      html`Limits stand in <a href="#/policies">policies</a> and in <code>[limits]</code>; they show here once a request counted against them.`,
    ),
  );
}

const TABS = [
  ['policies', 'Policies'],
  ['limits', 'Limits'],
  ['tenants', 'Tenants'],
  ['prices', 'Prices'],
] as const;
const OF_TENANTS: readonly string[] = ['limits', 'tenants'];

export function PoliciesScreen({ address }: { readonly address: Address }): VNode {
  const { session } = useScene();
  // Policies and prices are the whole node's.
  const shown =
    session.tenants === null ? TABS : TABS.filter(([name]) => OF_TENANTS.includes(name));
  const said = address.query['tab'] ?? '';
  const tab = shown.find(([name]) => name === said)?.[0] ?? shown[0]?.[0] ?? 'limits';
  const body = (): VNode => {
    switch (tab) {
      case 'limits':
        return h(Limits, { address });
      case 'tenants':
        return h(Tenants, { key: tab, address, kind: KINDS.tenants });
      case 'prices':
        return h(Entries, { key: tab, address, kind: KINDS.prices });
      default:
        return h(Entries, { key: tab, address, kind: KINDS.policies });
    }
  };
  const href = (name: string): string =>
    hrefOf(['policies'], name === 'policies' ? {} : { tab: name });
  return html`
    <header class="screen-head"><h1>Policies and limits</h1></header>
    ${tabs(
      'Policies and limits',
      tab,
      shown.map(([name, text]) => ({ name, text, href: href(name) })),
    )}
    ${body()}`;
}

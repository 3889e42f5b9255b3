import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { type Address, changed, hrefOf } from './address.ts';
import { addressTo, useAsked, write } from './admin-api.ts';
import {
  badge,
  bar,
  button,
  Choice,
  type Column,
  csvLink,
  Dialog,
  empty,
  Field,
  money,
  pager,
  refusedNote,
  skeleton,
  table,
  tabs,
  WriteDialog,
  when,
} from './elements.ts';
import { dollars, fromNow, minuteOf, picoOf } from './format.ts';
import { h, html } from './html.ts';
import { go } from './navigation.ts';
import { originNote } from './origin.ts';
import { useScene, whyNot } from './scene.ts';
import { instantText, localText } from './time-range.ts';
import type { Budget, Key, Page } from './told.ts';

const STATE_TONES = { active: 'good', expired: 'quiet', denied: 'bad' } as const;
const CLASSES = ['developer', 'application', 'agent'] as const;

type Doing = 'change' | 'expire' | 'deny' | 'allow';

/** The virtual key stands here once, and nowhere afterwards. */
function MintedDialog({
  secret,
  onClose,
}: {
  readonly secret: string;
  readonly onClose: () => void;
}): VNode {
  const { say } = useScene();
  const copy = (): void => {
    navigator.clipboard.writeText(secret).then(
      () => say('The key is in the clipboard.'),
      () => say('The browser did not allow it: select the key and copy it.'),
    );
  };
  return h(
    Dialog,
    { title: 'The new key', onClose, isSticky: true },
    html`<p class="says">It is shown this one time: the gateway keeps no copy of it.</p>
      <pre class="secret" tabindex="0" aria-label="Virtual key">${secret}</pre>
      <footer class="dialog-foot">
        ${button({ text: 'Copy', icon: 'copy', onClick: copy, kind: 'primary' })}
        ${button({ text: 'I have kept it', onClick: onClose })}
      </footer>`,
  );
}

interface MintDialogProps {
  readonly policies: readonly string[];
  readonly onMinted: (secret: string) => void;
  readonly onClose: () => void;
}

function MintDialog({ policies, onMinted, onClose }: MintDialogProps): VNode {
  const { zone, session } = useScene();
  const [name, setName] = useState('');
  const [tenant, setTenant] = useState(session.tenants?.[0] ?? '');
  const [kind, setKind] = useState('application');
  const [policy, setPolicy] = useState('');
  const [expires, setExpires] = useState('');
  const until = expires === '' ? null : instantText(expires, zone);
  return h(
    WriteDialog,
    {
      title: 'Mint a key',
      doing: 'Mint',
      onClose,
      run: async (reason) => {
        const { value } = await write<{ readonly secret: string }>('POST', '/keys', {
          name,
          tenant,
          class: kind,
          ...(policy === '' ? {} : { policy }),
          ...(until === null ? {} : { expires: until }),
          reason,
        });
        onMinted(value.secret);
      },
    },
    html`
      ${h(Field, { label: 'Name', value: name, onInput: setName, isRequired: true, placeholder: 'Whose it is' })}
      ${h(Field, { label: 'Tenant', value: tenant, onInput: setTenant, isRequired: true, pattern: '0|[1-9][0-9]{0,19}', hint: 'A decimal id.' })}
      ${h(Choice, { label: 'Class', value: kind, options: CLASSES, onChange: setKind })}
      ${h(Field, { label: 'Policy', value: policy, onInput: setPolicy, list: policies, hint: "Empty: its tenant's, its class's or the default one." })}
      ${h(Field, { label: 'Expires', type: 'datetime-local', value: expires, onInput: setExpires, hint: `In ${zone}. Empty: never.` })}
    `,
  );
}

interface KeyDialogProps {
  readonly shown: Key;
  readonly doing: Doing;
  readonly policies: readonly string[];
  readonly onDone: () => void;
  readonly onClose: () => void;
}

function ChangeDialog({ shown, policies, onDone, onClose }: KeyDialogProps): VNode {
  const { zone, say } = useScene();
  const read = useAsked<Key>(`/keys/${shown.id}`);
  const [name, setName] = useState(shown.name ?? '');
  const [policy, setPolicy] = useState(shown.policy ?? '');
  const before = shown.expires === null ? '' : localText(shown.expires, zone);
  const [expires, setExpires] = useState(before);
  return h(
    WriteDialog,
    {
      title: `Change key ${shown.id}`,
      doing: 'Change',
      onClose,
      run: async (reason) => {
        const changes = {
          ...(name === '' || name === shown.name ? {} : { name }),
          ...(policy === (shown.policy ?? '') ? {} : { policy: policy === '' ? null : policy }),
          ...(expires === before
            ? {}
            : { expires: expires === '' ? null : instantText(expires, zone) }),
        };
        await write('PUT', `/keys/${shown.id}`, { ...changes, reason }, read.etag);
        say(`Key ${shown.id} is changed.`);
        onDone();
      },
    },
    html`
      ${h(Field, { label: 'Name', value: name, onInput: setName })}
      ${h(Field, { label: 'Policy', value: policy, onInput: setPolicy, list: policies })}
      ${h(Field, { label: 'Expires', type: 'datetime-local', value: expires, onInput: setExpires, hint: `In ${zone}. Empty: never.` })}
    `,
  );
}

function ExpireDialog({ shown, onDone, onClose }: KeyDialogProps): VNode {
  const { say } = useScene();
  const [inSeconds, setInSeconds] = useState('0');
  return h(
    WriteDialog,
    {
      title: `Expire key ${shown.id}`,
      says: 'From then on it is refused with 401. What is in flight goes on.',
      doing: 'Expire',
      isDangerous: true,
      onClose,
      run: async (reason) => {
        const seconds = Number(inSeconds);
        await write('POST', `/keys/${shown.id}/expire`, {
          reason,
          ...(seconds > 0 ? { in_seconds: seconds } : {}),
        });
        say(`Key ${shown.id} expires.`);
        onDone();
      },
    },
    h(Choice, {
      label: 'When',
      value: inSeconds,
      options: { '0': 'Now', '3600': 'In an hour', '86400': 'In a day', '604800': 'In a week' },
      onChange: setInSeconds,
    }),
  );
}

const DENY_SPANS = {
  '': 'Until it is allowed again',
  '3600': 'An hour',
  '86400': 'A day',
  '604800': 'A week',
};

interface DenyDialogProps {
  /** `/keys/7` or `/tenants/7`. */
  readonly path: string;
  readonly what: string;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Denies a key or a tenant on every node. */
export function DenyDialog({ path, what, onDone, onClose }: DenyDialogProps): VNode {
  const { say } = useScene();
  const [seconds, setSeconds] = useState('');
  return h(
    WriteDialog,
    {
      title: `Deny ${what}`,
      says: html`Refused on every node at once, streams included. The reason <code>spend</code> is answered with 402, any other with 403.`,
      doing: 'Deny',
      isDangerous: true,
      onClose,
      run: async (reason) => {
        await write('PUT', `${path}/denial`, {
          reason,
          ...(seconds === '' ? {} : { seconds: Number(seconds) }),
        });
        say(`${what} is denied.`);
        onDone();
      },
    },
    h(Choice, { label: 'For how long', value: seconds, options: DENY_SPANS, onChange: setSeconds }),
  );
}

export function AllowDialog({ path, what, onDone, onClose }: DenyDialogProps): VNode {
  const { say } = useScene();
  return h(WriteDialog, {
    title: `Allow ${what} again`,
    says: 'The denial is taken back on every node.',
    doing: 'Allow',
    onClose,
    run: async (reason) => {
      await write('DELETE', `${path}/denial`, { reason });
      say(`${what} is allowed again.`);
      onDone();
    },
  });
}

function keyDialog(props: KeyDialogProps): VNode {
  const what = { path: `/keys/${props.shown.id}`, what: `key ${props.shown.id}` };
  const { onDone, onClose } = props;
  switch (props.doing) {
    case 'change':
      return h(ChangeDialog, props);
    case 'expire':
      return h(ExpireDialog, props);
    case 'deny':
      return h(DenyDialog, { ...what, onDone, onClose });
    default:
      return h(AllowDialog, { ...what, onDone, onClose });
  }
}

function Keys({ address }: { readonly address: Address }): VNode {
  const scene = useScene();
  const { zone, session } = scene;
  const [typed, setTyped] = useState(address.query['q'] ?? '');
  const [doing, setDoing] = useState<readonly [Key, Doing] | null>(null);
  const [isMinting, setMinting] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const query = {
    q: address.query['q'],
    tenant: address.query['tenant'],
    cursor: address.query['cursor'],
    limit: '50',
  };
  const page = useAsked<Page<Key>>('/keys', query);
  const policies = useAsked<Page<{ readonly name: string }>>(
    session.tenants === null ? '/policies' : null,
    { limit: '1000' },
  );
  const names = policies.value?.rows.map(({ name }) => name) ?? [];
  const mayWrite = whyNot(scene, 'operator');
  const action = (key: Key, what: Doing, text: string, why = mayWrite): VNode =>
    button({
      text,
      kind: 'plain',
      isSmall: true,
      whyNot: why,
      onClick: () => setDoing([key, what]),
    });
  const columns: readonly Column<Key>[] = [
    {
      head: 'Key',
      cell: (key) => html`<span class="two"
        ><b>${key.name ?? '(no name)'}</b
        ><a class="mono" href=${hrefOf(['requests'], { key: key.id })} title="Its requests">${key.id}</a></span
      >`,
    },
    { head: 'State', cell: (key) => badge(STATE_TONES[key.state], key.state) },
    { head: 'Tenant', cell: (key) => key.tenant ?? '–' },
    { head: 'Class', cell: (key) => key.class ?? '–' },
    {
      head: 'Policy',
      cell: (key) =>
        key.policy === null || session.tenants !== null
          ? (key.policy ?? '–')
          : html`<a href=${hrefOf(['policies'], { q: key.policy })}>${key.policy}</a>`,
    },
    {
      head: 'Expires',
      cell: (key) =>
        key.denied !== null
          ? html`<span class="muted">denied: ${key.denied.reason}${key.denied.until === null ? '' : `, ${fromNow(key.denied.until)}`}</span>`
          : key.expires === null
            ? 'never'
            : when(key.expires, zone),
    },
    { head: 'Written in', cell: (key) => originNote(key.origin, zone), isExtra: true },
    {
      head: '',
      cell: (key) => html`<span class="row actions"
        >${action(key, 'change', 'Change')}
        ${key.state !== 'expired' && action(key, 'expire', 'Expire')}
        ${key.denied === null ? action(key, 'deny', 'Deny') : action(key, 'allow', 'Allow')}</span
      >`,
    },
  ];
  const isFiltered = query.q !== undefined || query.tenant !== undefined;
  const told = page.value;
  return html`
    <div class="row between wrap">
      <form
        class="row search"
        role="search"
        onSubmit=${(event: Event) => {
          event.preventDefault();
          go(changed(address, { q: typed.trim() }));
        }}
      >
        <input
          id="search"
          type="search"
          aria-label="Name or id of a key"
          placeholder="Name or id"
          value=${typed}
          onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)}
        />
        <button type="submit">Search</button>
      </form>
      <div class="row">
        ${csvLink(addressTo('/keys', { ...query, cursor: undefined, format: 'csv' }))}
        ${button({ text: 'Mint a key', icon: 'plus', kind: 'primary', whyNot: whyNot(scene, 'owner'), onClick: () => setMinting(true) })}
      </div>
    </div>
    ${
      page.refused !== null
        ? refusedNote(page.refused, page.again)
        : told === null
          ? skeleton(8)
          : html`<section class="panel ${page.isLoading ? 'stale' : ''}">
            ${
              told.rows.length === 0
                ? isFiltered
                  ? empty(
                      'No key is called so.',
                      'A key shows here once the configuration or somebody at run time has named it.',
                    )
                  : empty(
                      'No key is named yet.',
                      'Mint one here. Keys that were minted elsewhere work without a name, and their requests show under Requests.',
                    )
                : table('Keys', columns, told.rows)
            }
            ${pager(
              told.next === null ? null : changed(address, { cursor: told.next }),
              query.cursor === undefined ? null : changed(address, {}),
              `${told.rows.length} keys`,
            )}
          </section>`
    }
    ${
      isMinting &&
      h(MintDialog, {
        policies: names,
        onMinted: (text) => {
          setSecret(text);
          page.again();
        },
        onClose: () => setMinting(false),
      })
    }
    ${secret !== null && h(MintedDialog, { secret, onClose: () => setSecret(null) })}
    ${
      doing !== null &&
      keyDialog({
        shown: doing[0],
        doing: doing[1],
        policies: names,
        onDone: page.again,
        onClose: () => setDoing(null),
      })
    }`;
}

/** @returns a part of 1, exact to a millionth */
function share(usd: string, of: string): number {
  const whole = picoOf(of);
  return whole === 0n ? 1 : Number((picoOf(usd) * 1_000_000n) / whole) / 1e6;
}

function Budgets(): VNode {
  const { zone } = useScene();
  const page = useAsked<Page<Budget>>('/budgets', { limit: '1000' }, 10_000);
  if (page.refused !== null) return refusedNote(page.refused, page.again);
  if (page.value === null) return skeleton(6);
  if (page.value.rows.length === 0) {
    return empty(
      'No budget is set.',
      html`Write <code>budget_usd_per_day</code> or <code>budget_usd_per_month</code> into a <a href="#/policies">policy</a>.`,
    );
  }
  return html`<section class="panel">${table(
    'Budgets',
    [
      {
        head: 'Whose',
        cell: (row) => html`<span class="two"
          ><b>${row.name ?? row.id}</b><span class="muted">${row.scope} ${row.id}</span></span
        >`,
      },
      {
        head: 'Window',
        cell: (row) => html`${row.window} ${row.mode !== 'enforce' && badge('warn', row.mode)}`,
      },
      {
        head: 'Used',
        cell: (row) => {
          const spent = share(row.spent_usd, row.limit_usd);
          const reserved = share(row.reserved_usd, row.limit_usd);
          return html`<span class="two used"
            >${bar(
              `${Math.round(spent * 100)} % spent, ${Math.round(reserved * 100)} % reserved`,
              spent,
              reserved,
            )}<span class="muted"
              >${dollars(row.spent_usd)} spent${
                picoOf(row.reserved_usd) > 0n ? `, ${dollars(row.reserved_usd)} reserved` : ''
              }</span
            ></span
          >`;
        },
      },
      { head: 'Limit', cell: (row) => money(row.limit_usd), isNumber: true },
      { head: 'Left', cell: (row) => money(row.left_usd), isNumber: true },
      {
        head: 'At its end',
        cell: (row) =>
          row.projected_usd === null
            ? html`<span class="muted">too early</span>`
            : html`<span class=${picoOf(row.projected_usd) > picoOf(row.limit_usd) ? 'bad-text' : ''}>${money(row.projected_usd)}</span>`,
        isNumber: true,
      },
      {
        head: 'Renews',
        cell: (row) =>
          html`<time datetime=${row.renews} title=${`${minuteOf(row.renews, zone)} ${zone}`}>${fromNow(row.renews)}</time>`,
        isNumber: true,
      },
    ],
    page.value.rows,
  )}${pager(null, null, `${page.value.rows.length} budgets`, addressTo('/budgets', { format: 'csv' }))}</section>`;
}

export function KeysScreen({ address }: { readonly address: Address }): VNode {
  const tab = address.query['tab'] === 'budgets' ? 'budgets' : 'keys';
  return html`
    <header class="screen-head"><h1>Keys and budgets</h1></header>
    ${tabs('Keys and budgets', tab, [
      { name: 'keys', text: 'Keys', href: hrefOf(['keys']) },
      { name: 'budgets', text: 'Budgets', href: hrefOf(['keys'], { tab: 'budgets' }) },
    ])}
    ${tab === 'keys' ? h(Keys, { address }) : h(Budgets, {})}
  `;
}

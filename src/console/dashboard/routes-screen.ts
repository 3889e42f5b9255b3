import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Address, hrefOf } from './address.ts';
import { addressTo, useAsked, write } from './admin-api.ts';
import {
  badge,
  button,
  Choice,
  empty,
  Field,
  pager,
  panel,
  refusedNote,
  skeleton,
  table,
  WriteDialog,
} from './elements.ts';
import { RemoveDialog } from './entry-editor.ts';
import { Explain } from './explain.ts';
import { h, html } from './html.ts';
import { icon } from './icons.ts';
import { go } from './navigation.ts';
import { originNote } from './origin.ts';
import { Rehearse } from './rehearse.ts';
import {
  FALLBACK_DEFAULT,
  FALLBACK_REASONS,
  formOf,
  type Link,
  moved,
  NUMBER_FIELDS,
  type RouteForm,
  tableOf,
} from './route-form.ts';
import { useScene, whyNot } from './scene.ts';
import type { Config, Entry, Now, Page } from './told.ts';

const BALANCES = {
  order: 'order: the first that can',
  weight: 'weight: by shares',
  latency: 'latency: the quicker of two',
  cost: 'cost: the cheapest that fits',
};
const SAFETIES = {
  relay: 'relay: as it comes',
  hold: 'hold: whole answers only',
  resume: 'resume: goes on at the next target',
};

function chainOf(entry: Entry): VNode {
  const form = formOf(entry.value);
  const names = (links: readonly Link[], kind: string): readonly VNode[] =>
    links.map(
      ({ to, weight }) =>
        html`<span class="link ${kind}">${to}${weight === '' ? '' : html`<i> × ${weight}</i>`}</span>`,
    );
  return html`<span class="chain">
    ${names(form.targets, '')}
    ${form.fallbacks.length > 0 && html`<span class="arrow" title="Fallbacks">${icon('next')}<span class="visually-hidden">then</span></span>`}
    ${names(form.fallbacks, 'fallback')}
  </span>`;
}

function RouteList(): VNode {
  const scene = useScene();
  const page = useAsked<Page<Entry>>('/routes', { limit: '1000' });
  return html`
    <header class="screen-head">
      <h1>Routes</h1>
      <div class="row">${button({
        text: 'New route',
        icon: 'plus',
        kind: 'primary',
        whyNot: whyNot(scene, 'operator'),
        onClick: () => go(hrefOf(['routes'], { new: '1' })),
      })}</div>
    </header>
    ${
      page.refused !== null
        ? refusedNote(page.refused, page.again)
        : page.value === null
          ? skeleton()
          : html`<section class="panel">${
              page.value.rows.length === 0
                ? empty(
                    'There is no route.',
                    'A route is a name that callers put into "model"; it leads to targets, and to fallbacks when they fail.',
                  )
                : table(
                    'Routes',
                    [
                      {
                        head: 'Route',
                        cell: (row) =>
                          html`<a href=${hrefOf(['routes', row.name])}><b>${row.name}</b></a>`,
                      },
                      { head: 'Leads to', cell: chainOf },
                      { head: 'Balance', cell: (row) => String(row.value['balance'] ?? 'order') },
                      {
                        head: 'Written in',
                        cell: (row) => originNote(row.origin, scene.zone),
                        isExtra: true,
                      },
                    ],
                    page.value.rows,
                  )
            }${pager(null, null, `${page.value.rows.length} routes`, addressTo('/routes', { format: 'csv' }))}</section>`
    }`;
}

interface ChainEditorProps {
  readonly legend: string;
  readonly hint: string;
  readonly links: readonly Link[];
  readonly known: readonly string[];
  readonly hasWeights: boolean;
  readonly onChange: (links: readonly Link[]) => void;
}

function ChainEditor({
  legend,
  hint,
  links,
  known,
  hasWeights,
  onChange,
}: ChainEditorProps): VNode {
  const edit = (index: number, changes: Partial<Link>): void =>
    onChange(links.map((link, at) => (at === index ? { ...link, ...changes } : link)));
  const listId = `known-${hasWeights ? 'targets' : 'fallbacks'}`;
  const value = (event: Event): string => (event.target as HTMLInputElement).value;
  return html`<fieldset class="chain-editor">
    <legend>${legend}</legend>
    <p class="hint">${hint}</p>
    <datalist id=${listId}>${known.map((name) => html`<option value=${name}></option>`)}</datalist>
    <ol>${links.map(
      ({ to, weight }, index) => html`<li class="row">
        <span class="place">${index + 1}</span>
        <input
          class="grow"
          list=${listId}
          value=${to}
          placeholder="provider/model or a route"
          aria-label=${`${legend.slice(0, -1)} ${index + 1}`}
          onInput=${(event: Event) => edit(index, { to: value(event) })}
        />
        ${
          hasWeights &&
          html`<input
            class="weight"
            inputmode="decimal"
            value=${weight}
            placeholder="1"
            aria-label=${`Weight of target ${index + 1}`}
            onInput=${(event: Event) => edit(index, { weight: value(event) })}
          />`
        }
        <button type="button" class="plain small" aria-label=${`Move ${to} up`} disabled=${index === 0} onClick=${() => onChange(moved(links, index, -1))}>${icon('up')}</button>
        <button type="button" class="plain small" aria-label=${`Move ${to} down`} disabled=${index === links.length - 1} onClick=${() => onChange(moved(links, index, 1))}>${icon('down')}</button>
        <button type="button" class="plain small" aria-label=${`Take ${to} away`} onClick=${() => onChange(links.filter((_, at) => at !== index))}>${icon('close')}</button>
      </li>`,
    )}</ol>
    ${button({ text: 'Add', icon: 'plus', isSmall: true, onClick: () => onChange([...links, { to: '', weight: '' }]) })}
  </fieldset>`;
}

interface RouteEditorProps {
  readonly entry: Entry | null;
  readonly etag: string | null;
  readonly onWritten: () => void;
}

/** Whom a fault can be played for: other routes are no targets. */
function targetsOf(entry: Entry): readonly string[] {
  const { targets, fallbacks } = formOf(entry.value);
  const names = [...targets, ...fallbacks].map(({ to }) => to);
  return [...new Set(names)].filter((name) => name.includes('/'));
}

const EMPTY: RouteForm = formOf({ targets: [''] });

/** Where the file says that nobody else may change it. */
function LockedNote({ name }: { readonly name: string }): VNode {
  const { session } = useScene();
  const config = useAsked<Config>(session.tenants === null ? '/config' : null);
  const file = config.value?.source ?? null;
  return html`<p class="note">${icon('lock')} The file says that this route is locked: it is changed in its table <code>[routes.${name}]</code>${file !== null && html` of <code>${file}</code>`}, and not here.</p>`;
}

function RouteEditor({ entry, etag, onWritten }: RouteEditorProps): VNode {
  const scene = useScene();
  const [name, setName] = useState(entry?.name ?? '');
  const [form, setForm] = useState<RouteForm>(entry === null ? EMPTY : formOf(entry.value));
  const [dialog, setDialog] = useState<'save' | 'remove' | null>(null);
  const now = useAsked<Now>(scene.session.tenants === null ? '/now' : null);
  const routes = useAsked<Page<Entry>>('/routes', { limit: '1000' });
  const [asks, setAsks] = useState<Readonly<Record<string, string>> | null>(null);
  const [questions, setQuestions] = useState(0);
  const [keyClass, setKeyClass] = useState('application');
  const [key, setKey] = useState('');
  const isLocked = entry?.origin.locked === true;
  const why = isLocked ? 'The file says that this route is locked.' : whyNot(scene, 'operator');
  const known = [
    ...new Set([
      ...(now.value?.targets.map((target) => target.name) ?? []),
      ...(routes.value?.rows.flatMap(({ value }) => formOf(value).targets.map(({ to }) => to)) ??
        []),
      ...(routes.value?.rows.map((route) => route.name).filter((other) => other !== name) ?? []),
    ]),
  ];
  const field = (member: string): string => form.fields[member] ?? '';
  const set =
    (member: string) =>
    (text: string): void =>
      setForm({ ...form, fields: { ...form.fields, [member]: text } });
  const reasons = form.fallbackOn ?? FALLBACK_DEFAULT;
  const path = `/routes/${encodeURIComponent(name)}`;
  return html`
    ${isLocked && h(LockedNote, { name })}
    <div class="columns editor">
      ${panel(
        entry === null ? 'A new route' : 'Chain',
        entry !== null && originNote(entry.origin, scene.zone),
        html`<form onSubmit=${(event: Event) => {
          event.preventDefault();
          if (why === null) setDialog('save');
        }}>
          ${entry === null && h(Field, { label: 'Name', value: name, onInput: setName, isRequired: true, placeholder: 'chat', hint: 'What callers put into "model".' })}
          ${h(ChainEditor, { legend: 'Targets', hint: 'One group: which of it is asked first is said by the balance. The number beside each is its weight.', links: form.targets, known, hasWeights: true, onChange: (targets) => setForm({ ...form, targets }) })}
          ${h(ChainEditor, { legend: 'Fallbacks', hint: 'Asked one after the other when no target can.', links: form.fallbacks, known, hasWeights: false, onChange: (fallbacks) => setForm({ ...form, fallbacks }) })}
          <div class="grid-fields">
            ${h(Choice, { label: 'Balance', value: field('balance') || 'order', options: BALANCES, onChange: set('balance') })}
            ${h(Choice, { label: 'Streams', value: field('stream_safety') || 'relay', options: SAFETIES, onChange: set('stream_safety') })}
            ${h(Field, { label: 'Affinity', value: field('affinity'), onInput: set('affinity'), placeholder: 'auto', hint: 'auto, off or header:NAME' })}
            ${Object.entries(NUMBER_FIELDS).map(([member, label]) =>
              h(Field, {
                key: member,
                label,
                value: field(member),
                onInput: set(member),
                type: 'number',
                placeholder: 'default',
              }),
            )}
          </div>
          <fieldset><legend>Fall back on</legend>
            <div class="checks">${FALLBACK_REASONS.map(
              (reason) => html`<label class="check"><input
                type="checkbox"
                checked=${reasons.includes(reason)}
                onChange=${() =>
                  setForm({
                    ...form,
                    fallbackOn: FALLBACK_REASONS.filter(
                      (one) => (one === reason) !== reasons.includes(one),
                    ),
                  })}
              />${reason.replaceAll('_', ' ')}</label>`,
            )}</div>
          </fieldset>
          <label class="check"><input type="checkbox" checked=${form.strict} onChange=${() => setForm({ ...form, strict: !form.strict })} />Strict: what cannot be translated is a 400</label>
          <footer class="dialog-foot">
            ${
              entry !== null &&
              entry.origin.overlay !== null &&
              button({
                text: entry.origin.file ? "Back to the file's" : 'Remove',
                kind: 'plain',
                whyNot: why,
                onClick: () => setDialog('remove'),
              })
            }
            <button type="submit" class="primary" aria-disabled=${why === null ? undefined : 'true'} title=${why ?? undefined}>Save…${why !== null && html`<span class="visually-hidden"> (${why})</span>`}</button>
          </footer>
        </form>`,
      )}
      ${
        entry !== null &&
        panel(
          'Explain and rehearse',
          null,
          html`<form class="explain-form" onSubmit=${(event: Event) => {
            event.preventDefault();
            setQuestions(questions + 1);
            setAsks({ model: name, class: keyClass, ...(key === '' ? {} : { key }) });
          }}>
            <p class="says">Where a request for this route goes now, as it is saved.</p>
            <div class="row wrap">
              ${h(Choice, { label: 'Class', value: keyClass, options: ['developer', 'application', 'agent'], onChange: setKeyClass })}
              ${h(Field, { label: 'Key', value: key, onInput: setKey, placeholder: 'any', pattern: '[0-9]*' })}
              <button type="submit">Explain</button>
            </div>
          </form>
          ${asks !== null && h(Explain, { key: questions, wish: asks })}
          <h3>Rehearse</h3>
          ${h(Rehearse, { route: name, targets: targetsOf(entry) })}`,
        )
      }
    </div>
    ${
      dialog === 'save' &&
      h(WriteDialog, {
        title: `Save route ${name}`,
        says: 'The next request goes by it.',
        doing: 'Save',
        onClose: () => setDialog(null),
        run: async (reason) => {
          await write('PUT', path, { value: tableOf(form), reason }, etag);
          scene.say(`Route ${name} is saved.`);
          if (entry === null) go(hrefOf(['routes', name]), true);
          onWritten();
        },
      })
    }
    ${
      dialog === 'remove' &&
      h(RemoveDialog, {
        path,
        what: `route ${name}`,
        etag,
        onDone: () => go(hrefOf(['routes'])),
        onClose: () => setDialog(null),
      })
    }`;
}

function RouteScreen({ name }: { readonly name: string }): VNode {
  const asked = useAsked<Entry>(`/routes/${encodeURIComponent(name)}`);
  const head = html`<header class="screen-head">
    <p class="crumbs"><a href="#/routes">Routes</a> / </p>
    <h1>${name}</h1>
    ${asked.value?.value['balance'] !== undefined && badge('quiet', String(asked.value.value['balance']))}
  </header>`;
  // The editor begins anew with each revision that was read.
  const [round, setRound] = useState(0);
  useEffect(() => setRound((before) => before + 1), [asked.etag]);
  if (asked.refused !== null) return html`${head}${refusedNote(asked.refused, asked.again)}`;
  if (asked.value === null) return html`${head}${skeleton()}`;
  return html`${head}${h(RouteEditor, { key: `${round}`, entry: asked.value, etag: asked.etag, onWritten: asked.again })}`;
}

export function RoutesScreen({ address }: { readonly address: Address }): VNode {
  const name = address.path[1];
  if (name !== undefined) return h(RouteScreen, { key: name, name });
  if (address.query['new'] === undefined) return h(RouteList, {});
  return html`<header class="screen-head">
      <p class="crumbs"><a href="#/routes">Routes</a> / </p>
      <h1>New route</h1>
    </header>
    ${h(RouteEditor, { entry: null, etag: null, onWritten: () => {} })}`;
}

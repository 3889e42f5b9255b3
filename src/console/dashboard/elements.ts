import type { VNode } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { asRefused, type Refused } from './admin-api.ts';
import { compact, counted, dollars, fromNow, minuteOf } from './format.ts';
import { type Content, h, html } from './html.ts';
import { type IconName, icon } from './icons.ts';

export type Tone = 'good' | 'warn' | 'bad' | 'quiet' | 'accent';

export function badge(tone: Tone, text: string): VNode {
  return html`<span class="badge ${tone}">${text}</span>`;
}

/** A number in short, the whole of it for whoever asks. */
export function short(value: number): VNode {
  return html`<span title=${counted(value)}>${compact(value)}</span>`;
}

/** What one attempt cost, as its fact says. */
export function costOf(usd: string | null, status: string): VNode {
  if (status === 'not_billed') return html`<span class="muted">not billed</span>`;
  if (usd !== null) return money(usd);
  return html`<span class="unpriced">unpriced</span>`;
}

/** What some requests cost. What has no price is said, and never shown as nothing. */
export function money(usd: string | null, unpriced = 0): VNode {
  if (usd === null) {
    return html`<span class="unpriced">unpriced${unpriced > 0 && ` (${counted(unpriced)})`}</span>`;
  }
  const isBare = unpriced > 0 && /^-?0*(?:\.0*)?$/.test(usd);
  return html`<span class="money">
    ${!isBare && html`<data value=${usd} title=${`$${usd}`}>${dollars(usd)}</data>`}
    ${unpriced > 0 && html` <span class="unpriced">unpriced (${counted(unpriced)})</span>`}
  </span>`;
}

export function when(at: string, zone: string): VNode {
  return html`<time datetime=${at} title=${`${minuteOf(at, zone)} ${zone}`}>${fromNow(at)}</time>`;
}

export function refusedNote(refused: Refused, again: (() => void) | null = null): VNode {
  return html`<div class="note bad" role="alert">
    <p>${refused.message === '' ? refused.title : `${refused.title} ${refused.message}`}</p>
    ${
      refused.parts.length > 0 &&
      html`<ul>${refused.parts.map(
        ({ key, found, expected }) =>
          html`<li><code>${key}</code>: ${found === '' ? '' : `found ${found}, `}expected ${expected}</li>`,
      )}</ul>`
    }
    ${again !== null && html`<button type="button" class="small" onClick=${again}>Try again</button>`}
  </div>`;
}

export function empty(title: string, doing: Content): VNode {
  return html`<div class="empty"><p class="empty-title">${title}</p><p>${doing}</p></div>`;
}

/** What stands where rows will be. */
export function skeleton(rows = 6): VNode {
  return html`<div class="skeletons" role="status" aria-label="Loading">${Array.from(
    { length: rows },
    () => html`<div class="skeleton"></div>`,
  )}</div>`;
}

export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => Content;
  readonly isNumber?: boolean;
  /** Left out where there is no room: it says what other columns say, too. */
  readonly isExtra?: boolean;
}

/** A table; on a phone each row becomes a card whose lines are named by the columns. */
export function table<Row>(
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  rowClass: (row: Row) => string = () => '',
): VNode {
  const classOf = ({ isNumber, isExtra }: Column<Row>): string =>
    `${isNumber ? 'number' : ''} ${isExtra ? 'extra' : ''}`;
  return html`<table class="data">
    <caption class="visually-hidden">${caption}</caption>
    <thead><tr>${columns.map(
      (column) =>
        html`<th scope="col" class=${classOf(column)}>${
          column.head === '' ? html`<span class="visually-hidden">Actions</span>` : column.head
        }</th>`,
    )}</tr></thead>
    <tbody>${rows.map(
      (row) =>
        html`<tr class=${rowClass(row)}>${columns.map(
          (column) =>
            html`<td class=${classOf(column)} data-label=${column.head}>${column.cell(row)}</td>`,
        )}</tr>`,
    )}</tbody>
  </table>`;
}

/**
 * @param next where the next page is; null: this is the last
 * @param csv where the rows are as CSV; null: a link to them stands elsewhere
 */
export function pager(
  next: string | null,
  first: string | null,
  said: string,
  csv: string | null = null,
): VNode {
  return html`<div class="pager">
    <span>${said}</span>
    <span class="row">
      ${first !== null && html`<a class="button small" href=${first}>First page</a>`}
      ${next !== null && html`<a class="button small" href=${next}>Next page ${icon('next')}</a>`}
      ${csv !== null && csvLink(csv)}
    </span>
  </div>`;
}

export function csvLink(address: string): VNode {
  return html`<a class="button small" href=${address} download>${icon('download')} CSV</a>`;
}

export function stat(label: string, value: Content, below: Content = null): VNode {
  return html`<div class="stat">
    <div class="stat-label">${label}</div>
    <div class="stat-value">${value}</div>
    ${below !== null && html`<div class="stat-below"><div>${below}</div></div>`}
  </div>`;
}

export function panel(title: Content, actions: Content, body: Content): VNode {
  return html`<section class="panel">
    <header class="panel-head"><h2>${title}</h2><div class="row">${actions}</div></header>
    ${body}
  </section>`;
}

/**
 * A part of a whole that fills a bar, and a second one behind it: what is spent, and what is reserved.
 *
 * @param first and second are parts of 1
 */
export function bar(label: string, first: number, second = 0): VNode {
  const tone = first + second >= 1 ? 'bad' : first + second >= 0.8 ? 'warn' : '';
  const width = (part: number): string => `${Math.max(0, Math.min(1, part)) * 100}%`;
  return html`<div class="bar ${tone}" role="img" aria-label=${label} title=${label}>
    <i style=${{ width: width(first) }}></i>
    <i class="second" style=${{ width: width(Math.min(second, 1 - first)) }}></i>
  </div>`;
}

/** A line without axes, for how something went lately. */
export function sparkline(values: readonly number[], tone: Tone = 'accent'): VNode {
  const most = Math.max(...values, 1e-9);
  const width = 120;
  const at = (value: number, index: number): string =>
    `${((index * width) / Math.max(1, values.length - 1)).toFixed(1)},${(27 - (value / most) * 25).toFixed(1)}`;
  const points = values.map(at).join(' ');
  return html`<svg class="sparkline ${tone}" viewBox="0 0 ${width} 28" preserveAspectRatio="none" aria-hidden="true">
    ${
      values.length > 1 &&
      html`<polygon points=${`0,28 ${points} ${width},28`} /><polyline points=${points} />`
    }
  </svg>`;
}

interface ButtonProps {
  readonly text: string;
  readonly onClick: () => void;
  readonly icon?: IconName;
  readonly kind?: 'primary' | 'danger' | 'plain';
  readonly isSmall?: boolean;
  /** Why it cannot be pressed: told beside it and to screen readers. */
  readonly whyNot?: string | null;
}

export function button(props: ButtonProps): VNode {
  const why = props.whyNot ?? null;
  return html`<button
    type="button"
    class="${props.kind ?? ''} ${props.isSmall ? 'small' : ''}"
    aria-disabled=${why === null ? undefined : 'true'}
    title=${why ?? undefined}
    onClick=${() => {
      if (why === null) props.onClick();
    }}
  >${props.icon !== undefined && icon(props.icon)} ${props.text}${
    why !== null && html`<span class="visually-hidden"> (${why})</span>`
  }</button>`;
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly hint?: Content;
  readonly type?: string;
  readonly list?: readonly string[];
  readonly isRequired?: boolean;
  readonly placeholder?: string;
  readonly pattern?: string;
  readonly rows?: number;
}

/** An input with its label; with `rows` one of several lines. */
export function Field(props: FieldProps): VNode {
  const id = useId();
  const onInput = (event: Event): void =>
    props.onInput((event.target as HTMLInputElement | HTMLTextAreaElement).value);
  const hintId = props.hint === undefined ? undefined : `${id}-hint`;
  return html`<div class="field">
    <label for=${id}>${props.label}</label>
    ${
      props.rows === undefined
        ? html`<input
            id=${id}
            type=${props.type ?? 'text'}
            value=${props.value}
            onInput=${onInput}
            list=${props.list === undefined ? undefined : `${id}-list`}
            required=${props.isRequired ?? false}
            placeholder=${props.placeholder}
            pattern=${props.pattern}
            aria-describedby=${hintId}
            autocomplete="off"
            spellcheck=${false}
          />`
        : html`<textarea
            id=${id}
            rows=${props.rows}
            value=${props.value}
            onInput=${onInput}
            aria-describedby=${hintId}
            placeholder=${props.placeholder}
            spellcheck=${false}
          ></textarea>`
    }
    ${
      props.list !== undefined &&
      html`<datalist id=${`${id}-list`}>${props.list.map(
        (value) => html`<option value=${value}></option>`,
      )}</datalist>`
    }
    ${props.hint !== undefined && html`<p class="hint" id=${hintId}>${props.hint}</p>`}
  </div>`;
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: Readonly<Record<string, string>> | readonly string[];
  readonly onChange: (value: string) => void;
  readonly hint?: Content;
  /** The label is for screen readers alone. */
  readonly isBare?: boolean;
}

export function Choice(props: ChoiceProps): VNode {
  const id = useId();
  const options = Array.isArray(props.options)
    ? (props.options as readonly string[]).map((value) => [value, value] as const)
    : Object.entries(props.options);
  return html`<div class="field">
    <label for=${id} class=${props.isBare ? 'visually-hidden' : ''}>${props.label}</label>
    <select
      id=${id}
      value=${props.value}
      onChange=${(event: Event) => props.onChange((event.target as HTMLSelectElement).value)}
    >${options.map(
      ([value, text]) =>
        html`<option value=${value} selected=${value === props.value}>${text}</option>`,
    )}</select>
    ${props.hint !== undefined && html`<p class="hint">${props.hint}</p>`}
  </div>`;
}

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** What it shows is gone once it is closed: a click beside it does not close it. */
  readonly isSticky?: boolean;
  readonly children?: Content | readonly Content[];
}

/** A dialog of the browser's own: it keeps the focus inside and gives it back, and Esc ends it. */
export function Dialog({ title, onClose, isSticky = false, children }: DialogProps): VNode {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return html`<dialog
    ref=${element}
    aria-labelledby=${id}
    onCancel=${(event: Event) => {
      event.preventDefault();
      onClose();
    }}
    onClick=${(event: Event) => {
      if (event.target === element.current && !isSticky) onClose();
    }}
  ><div class="dialog-body">
    <header class="dialog-head">
      <h2 id=${id}>${title}</h2>
      <button type="button" class="plain small" aria-label="Close" onClick=${onClose}>${icon('close')}</button>
    </header>
    ${children}
  </div></dialog>`;
}

interface WriteDialogProps {
  readonly title: string;
  readonly says?: Content;
  /** What the button that does it says. */
  readonly doing: string;
  readonly isDangerous?: boolean;
  readonly children?: Content | readonly Content[];
  /** Rejects with `Refused`, which is shown. */
  readonly run: (reason: string) => Promise<void>;
  readonly onClose: () => void;
}

/** A write: its fields, the reason for it, and what the gateway said against it. */
export function WriteDialog(props: WriteDialogProps): VNode {
  const [reason, setReason] = useState('');
  const [refused, setRefused] = useState<Refused | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setRefused(null);
    try {
      await props.run(reason);
      props.onClose();
    } catch (error) {
      setRefused(asRefused(error));
      setBusy(false);
    }
  };
  return h(
    Dialog,
    { title: props.title, onClose: props.onClose },
    html`<form onSubmit=${submit}>
      ${props.says !== undefined && html`<p class="says">${props.says}</p>`}
      ${props.children}
      ${h(Field, {
        label: 'Reason',
        value: reason,
        onInput: setReason,
        isRequired: true,
        hint: 'Stands in the audit log beside your name.',
      })}
      ${refused !== null && refusedNote(refused)}
      <footer class="dialog-foot">
        <button type="button" onClick=${props.onClose}>Cancel</button>
        <button type="submit" class=${props.isDangerous ? 'danger' : 'primary'} disabled=${isBusy}>${
          isBusy ? 'Writing…' : props.doing
        }</button>
      </footer>
    </form>`,
  );
}

interface Tab {
  readonly name: string;
  readonly text: string;
  readonly href: string;
}

/** Links, since each tab has an address. */
export function tabs(label: string, here: string, all: readonly Tab[]): VNode {
  return html`<nav class="tabs" aria-label=${label}>${all.map(
    ({ name, text, href }) =>
      html`<a href=${href} aria-current=${name === here ? 'page' : undefined}>${text}</a>`,
  )}</nav>`;
}

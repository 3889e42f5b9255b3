import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { type Address, changed } from './address.ts';
import { Choice } from './elements.ts';
import { h, html } from './html.ts';
import { icon } from './icons.ts';
import { go } from './navigation.ts';

/** By what usage is told apart, and what people call it. */
export const DIMENSIONS = {
  tenant: 'Tenant',
  key: 'Key',
  class: 'Class',
  provider: 'Provider',
  model: 'Model',
  route: 'Route',
  status: 'Status',
} as const;

export type DimensionName = keyof typeof DIMENSIONS;

/** The filters that an address says, as the API takes them. */
export function filtersOf({ query }: Address): Readonly<Record<string, string>> {
  const said: Record<string, string> = {};
  for (const name of Object.keys(DIMENSIONS)) {
    const value = query[name];
    if (value !== undefined) said[name] = value;
  }
  return said;
}

/** @returns the address of the requests behind a row whose dimension `by` is `value` */
export function requestsOf(address: Address, by: string, value: string): string {
  const { range, since, until } = address.query;
  const said = new URLSearchParams({ ...filtersOf(address), [by]: value });
  for (const [name, text] of Object.entries({ range, since, until })) {
    if (text !== undefined) said.set(name, text);
  }
  return `#/requests?${said}`;
}

interface FiltersProps {
  readonly address: Address;
  /** Further ones that this view has, with their names. */
  readonly more?: Readonly<Record<string, string>>;
}

/** What is filtered by, each to be taken away, and a way to add one. */
export function Filters({ address, more = {} }: FiltersProps): VNode {
  const names: Readonly<Record<string, string>> = { ...DIMENSIONS, ...more };
  const [name, setName] = useState('model');
  const [value, setValue] = useState('');
  const said = Object.entries(address.query).filter(([key]) => Object.hasOwn(names, key));
  const add = (event: Event): void => {
    event.preventDefault();
    if (value.trim() === '') return;
    go(changed(address, { [name]: value.trim() }));
    setValue('');
  };
  return html`<div class="filters">
    ${said.map(
      ([key, text]) => html`<a
        class="chip"
        href=${changed(address, { [key]: undefined })}
        aria-label=${`Take away the filter ${names[key]} = ${text}`}
        ><span>${names[key]}</span> <b>${text === '' ? '(none)' : text}</b> ${icon('close')}</a
      >`,
    )}
    <form class="row" onSubmit=${add}>
      ${h(Choice, { label: 'Filter by', isBare: true, value: name, options: names, onChange: setName })}
      <input
        aria-label=${`Value of ${names[name]}`}
        placeholder="is …"
        value=${value}
        onInput=${(event: Event) => setValue((event.target as HTMLInputElement).value)}
      />
      <button type="submit" class="small">Filter</button>
    </form>
  </div>`;
}

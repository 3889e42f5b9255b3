import type { VNode } from 'preact';
import { type Address, changed } from './address.ts';
import { Choice } from './elements.ts';
import { h, html } from './html.ts';
import { go } from './navigation.ts';
import { useScene } from './scene.ts';
import { instantText, localText, RANGES, type Span } from './time-range.ts';

interface RangePickerProps {
  readonly address: Address;
  readonly span: Span;
}

/** Which span of time: a name, or two instants of the chosen zone's wall clock. */
export function RangePicker({ address, span }: RangePickerProps): VNode {
  const { zone } = useScene();
  const until = span.until ?? new Date().toISOString();
  const own = (name: 'since' | 'until', iso: string): VNode => html`<label class="inline">
    ${name === 'since' ? 'From' : 'To'}
    <input
      type="datetime-local"
      value=${localText(iso, zone)}
      onChange=${(event: Event) => {
        const at = instantText((event.target as HTMLInputElement).value, zone);
        if (at !== null)
          go(changed(address, { range: 'own', since: span.since, until, [name]: at }));
      }}
    />
  </label>`;
  return html`<div class="range">
    ${h(Choice, {
      label: 'Range',
      isBare: true,
      value: span.name,
      options: RANGES,
      onChange: (range) =>
        go(
          changed(
            address,
            range === 'own'
              ? { range, since: span.since, until }
              : { range, since: undefined, until: undefined, step: undefined },
          ),
        ),
    })}
    ${span.name === 'own' && html`${own('since', span.since)} ${own('until', until)}`}
  </div>`;
}

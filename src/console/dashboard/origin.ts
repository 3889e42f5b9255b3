import type { VNode } from 'preact';
import { badge, when } from './elements.ts';
import { html } from './html.ts';
import { icon } from './icons.ts';
import type { Origin } from './told.ts';

/** Where something is written: in the file, at run time, or in both. */
export function originNote({ file, overlay, locked }: Origin, zone: string): VNode {
  return html`<span class="row wrap">
    ${file && badge('quiet', 'file')}
    ${
      overlay !== null &&
      html`<span class="badge accent" title=${overlay.reason === '' ? 'No reason was given.' : overlay.reason}>run time</span>
        <span class="muted">${overlay.author}, ${when(overlay.at, zone)}${
          overlay.expires !== null && html`, ends ${when(overlay.expires, zone)}`
        }</span>`
    }
    ${locked && html`<span class="badge warn">${icon('lock')} locked</span>`}
  </span>`;
}

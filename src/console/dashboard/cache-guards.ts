import type { VNode } from 'preact';
import { useAsked } from './admin-api.ts';
import { badge, empty, panel, refusedNote, skeleton, stat, type Tone, table } from './elements.ts';
import { bytesText, compact, counted } from './format.ts';
import { html } from './html.ts';
import { useScene } from './scene.ts';
import type { Guards } from './told.ts';

/** Of actions, by how much they take from a text. */
const TONES: Readonly<Record<string, Tone>> = { block: 'bad', redact: 'warn', mask: 'accent' };

function number(value: number): VNode {
  return html`<data value=${value} title=${counted(value)}>${compact(value)}</data>`;
}

function tiles(told: Guards): VNode {
  return html`<div class="stats" id="guards">
    ${stat('Guarded requests', number(told.requests), html`<b>${compact(told.blocked)}</b> blocked`)}
    ${stat('Found', number(told.findings), 'in prompts and answers')}
    ${stat('Failed', number(told.failures), html`<b>${compact(told.held_too_long)}</b> held back too long`)}
    ${stat(
      'Read',
      html`<span title=${counted(told.scanned_bytes)}>${bytesText(told.scanned_bytes)}</span>`,
      html`<b>${bytesText(told.unscanned_bytes)}</b> that no guard can read`,
    )}
  </div>`;
}

/** What guards found and did, and for which policies. */
export function GuardsPart(): VNode {
  const { node } = useScene();
  const { value: told, refused, again } = useAsked<Guards>('/guards', {}, 5_000);
  if (refused !== null) return refusedNote(refused, again);
  if (told === null) return skeleton(2);
  const rows = told.guards.filter(({ policies }) => policies.length > 0);
  if (rows.length === 0 && told.requests === 0)
    return panel(
      'Guards',
      null,
      empty(
        'No policy has guards.',
        html`<code>guards = ["pii"]</code> in a policy finds personal data in what is said and answered.`,
      ),
    );
  return html`
    ${tiles(told)}
    ${panel(
      'Guards',
      null,
      html`
        <p class="says">Counted by ${node.name} since it started. What each request's guards found stands in its fact.</p>
        ${table(
          'Guards that policies name',
          [
            { head: 'Guard', cell: ({ name }: Guards['guards'][number]) => html`<b>${name}</b>` },
            { head: 'Kind', cell: ({ kind }) => kind },
            { head: 'Does', cell: ({ action }) => badge(TONES[action] ?? 'quiet', action) },
            { head: 'Reads', cell: ({ phases }) => phases.join(', ') },
            { head: 'When it fails', cell: ({ on_error: on }) => on },
            { head: 'What it cannot read', cell: ({ on_unscanned: on }) => on, isExtra: true },
            { head: 'Policies', cell: ({ policies }) => policies.join(', ') },
          ],
          rows,
        )}`,
    )}
  `;
}

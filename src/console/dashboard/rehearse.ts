import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { write } from './admin-api.ts';
import { badge, Choice, Field, table, WriteDialog } from './elements.ts';
import { duration } from './format.ts';
import { h, html } from './html.ts';
import { statusBadge } from './requests-screen.ts';
import { useScene, whyNot } from './scene.ts';
import type { Rehearsed } from './told.ts';

/** What a target can be made to do; `sluice mock --help` knows more. */
const FAULTS = {
  '': 'as it is',
  '503': '503',
  '429;retry-after=3': '429, in 3 s again',
  '401': '401, the key is refused',
  reset: 'the connection breaks',
  silence: 'no answer comes',
  stall: 'stops in the middle',
  cut: 'ends in the middle',
};

interface RehearseProps {
  readonly route: string;
  /** `provider/model`, those of the route as it is saved. */
  readonly targets: readonly string[];
}

function rehearsed({ status, target, attempts, whole, took_ms, says }: Rehearsed): VNode {
  return html`<div class="rehearsed" role="status">
    <p>${statusBadge(String(status))} ${
      target === null ? 'from the gateway itself' : html`from <b>${target}</b>`
    } in ${duration(took_ms)} ${!whole && badge('bad', 'cut')}</p>
    ${says !== '' && html`<p class="note">${says}</p>`}
    ${
      attempts.length > 0 &&
      table(
        'What was tried',
        [
          {
            head: 'Target',
            cell: (row: Rehearsed['attempts'][number]) =>
              html`<b>${attempts.indexOf(row) + 1}. ${row.target}</b>`,
          },
          { head: 'Came', cell: (row) => statusBadge(row.came) },
        ],
        attempts,
      )
    }
  </div>`;
}

/** Lets targets of a route fail for one request, and shows what its caller gets. */
export function Rehearse({ route, targets }: RehearseProps): VNode {
  const scene = useScene();
  const why = whyNot(scene, 'operator');
  const [key, setKey] = useState('');
  const [faults, setFaults] = useState<Readonly<Record<string, string>>>({});
  const [isAsked, setAsked] = useState(false);
  const [told, setTold] = useState<Rehearsed | null>(null);
  const chosen = targets.flatMap((target) => {
    const fault = faults[target] ?? '';
    return fault === '' ? [] : [{ target, fault }];
  });
  return html`<form class="explain-form" onSubmit=${(event: Event) => {
    event.preventDefault();
    if (why === null && chosen.length > 0) setAsked(true);
  }}>
      <p class="says">One request in which targets fail as you say. They are not called; the others are really asked, with a question of one word. It takes a key whose policy says <code>rehearse</code>, and <code>rehearse_authority</code>.</p>
      <div class="grid-fields">${targets.map((target) =>
        h(Choice, {
          key: target,
          label: target,
          value: faults[target] ?? '',
          options: FAULTS,
          onChange: (fault: string) => setFaults({ ...faults, [target]: fault }),
        }),
      )}
      ${h(Field, { label: 'Virtual key', type: 'password', value: key, onInput: setKey, isRequired: true, hint: 'Kept nowhere.' })}</div>
      <footer class="dialog-foot">
        <button type="submit" aria-disabled=${why === null && chosen.length > 0 ? undefined : 'true'} title=${why ?? (chosen.length === 0 ? 'Let a target fail first.' : undefined)}>Rehearse…</button>
      </footer>
    </form>
    ${told !== null && rehearsed(told)}
    ${
      isAsked &&
      h(WriteDialog, {
        title: `Rehearse ${route}`,
        says: `${chosen.map(({ target }) => target).join(', ')} will fail for this one request, and for nobody else's.`,
        doing: 'Rehearse',
        onClose: () => setAsked(false),
        run: async (reason) => {
          setTold(null);
          const wish = { model: route, key, faults: chosen, reason };
          setTold((await write<Rehearsed>('POST', '/rehearse', wish)).value);
        },
      })
    }`;
}

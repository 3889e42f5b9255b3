import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { addressTo, useAsked, write } from './admin-api.ts';
import {
  badge,
  button,
  csvLink,
  empty,
  refusedNote,
  short,
  skeleton,
  table,
  WriteDialog,
} from './elements.ts';
import { compact, counted, duration } from './format.ts';
import { h, html } from './html.ts';
import { breaker } from './now-screen.ts';
import { toneOf } from './requests-screen.ts';
import { useScene, whyNot } from './scene.ts';
import type { Provider, Providers } from './told.ts';
import { whoseNumbers } from './whose-numbers.ts';

interface Reset {
  readonly path: string;
  readonly what: string;
}

/** What the attempts of a day ended in, as one bar; the numbers stand beside it. */
function statuses({ statuses: told, attempts }: Provider): VNode {
  const rows = Object.entries(told).sort(([, one], [, other]) => other - one);
  if (attempts === 0) return html`<p class="muted idle">No attempt in the last day.</p>`;
  return html`<div>
    <div class="bar statuses" aria-hidden="true">${rows.map(
      ([status, count]) =>
        html`<i class=${toneOf(status)} style=${{ width: `${(100 * count) / attempts}%` }}></i>`,
    )}</div>
    <p class="row wrap">${rows.map(
      ([status, count]) =>
        html`<a class="status-count" href=${`#/requests?status=${encodeURIComponent(status)}&attempts=all`}>${status.replaceAll('_', ' ')} <b>${compact(count)}</b></a>`,
    )}</p>
  </div>`;
}

function card(provider: Provider, onReset: (reset: Reset) => void, why: string | null): VNode {
  const { name, origin, wire, auth, keys, state, wait_ms: wait, targets, attempts } = provider;
  const path = `/providers/${encodeURIComponent(name)}/reset`;
  const rests = keys.filter(({ rests_ms }) => rests_ms > 0).length;
  return html`<section class="panel provider" aria-label=${name}>
    <header class="panel-head">
      <h2>${name}</h2>
      <div class="row">
        ${breaker(state, wait)}
        ${
          (state !== 'closed' || rests > 0) &&
          button({
            text: 'Reset',
            isSmall: true,
            whyNot: why,
            onClick: () => onReset({ path, what: `provider ${name}` }),
          })
        }
      </div>
    </header>
    <dl class="facts">
      <div><dt>Origin</dt><dd class="mono">${origin}</dd></div>
      <div><dt>Wire</dt><dd>${wire}</dd></div>
      <div><dt>Credentials</dt><dd>${auth}</dd></div>
      <div><dt>Attempts, last day</dt><dd>${short(attempts)}</dd></div>
      <div><dt>Mean time</dt><dd>${duration(provider.mean_ms)}</dd></div>
    </dl>
    <div class="row wrap pool">
      ${
        keys.length === 0
          ? html`<span class="muted">No pool key: only callers with a key of their own.</span>`
          : keys.map(
              ({
                last4,
                rests_ms,
              }) => html`<span class="badge ${rests_ms > 0 ? 'warn' : 'quiet'} mono" title="A pool key, by its last four characters"
                >…${last4}${rests_ms > 0 ? ` rests ${duration(rests_ms)}` : ''}</span
              >`,
            )
      }
    </div>
    ${statuses(provider)}
    ${
      targets.length > 0 &&
      table(
        `Targets of ${name}`,
        [
          { head: 'Target', cell: (row: Provider['targets'][number]) => html`<b>${row.name}</b>` },
          { head: 'State', cell: (row) => breaker(row.state, row.wait_ms) },
          {
            head: 'First content',
            cell: (row) => (row.ttft_ms === 0 ? '–' : duration(row.ttft_ms)),
            isNumber: true,
          },
          {
            head: '',
            cell: (row) =>
              row.state === 'closed'
                ? null
                : button({
                    text: 'Reset',
                    kind: 'plain',
                    isSmall: true,
                    whyNot: why,
                    onClick: () =>
                      onReset({
                        path: `/targets/${encodeURIComponent(row.name)}/reset`,
                        what: `target ${row.name}`,
                      }),
                  }),
          },
        ],
        targets,
      )
    }
  </section>`;
}

export function ProvidersScreen(): VNode {
  const scene = useScene();
  const asked = useAsked<Providers>('/providers', {}, 5_000);
  const [reset, setReset] = useState<Reset | null>(null);
  const rows = asked.value?.rows ?? [];
  const used = rows.filter(
    ({ keys, attempts, targets }) => keys.length > 0 || attempts > 0 || targets.length > 0,
  );
  const others = rows.filter((row) => !used.includes(row));
  const resting = rows.filter(({ state }) => state !== 'closed').length;
  const why = whyNot(scene, 'operator');
  return html`
    <header class="screen-head">
      <h1>Providers</h1>
      ${asked.value !== null && (resting === 0 ? badge('good', 'all in use') : badge('bad', `${counted(resting)} at rest`))}
      ${csvLink(addressTo('/providers', { format: 'csv' }))}
    </header>
    <p class="says">
      Breakers, rests and keys are those of the node <b>${scene.node.name}</b>.
      ${
        asked.value !== null &&
        ` Attempts of the last day: ${asked.value.attempts_unknown ?? whoseNumbers(scene.node)}`
      }
    </p>
    ${
      asked.refused !== null
        ? refusedNote(asked.refused, asked.again)
        : asked.value === null
          ? skeleton()
          : used.length === 0
            ? empty(
                'No provider is set up.',
                html`Give one a pool key, as <code>AI_POOL_KEY_OPENAI</code> does.`,
              )
            : html`<div class="cards">${used.map((provider) => card(provider, setReset, why))}</div>`
    }
    ${
      others.length > 0 &&
      html`<p class="muted">Also reachable for callers with keys of their own: ${others.map(({ name }) => name).join(', ')}.</p>`
    }
    ${
      reset !== null &&
      h(WriteDialog, {
        title: `Reset ${reset.what}`,
        says: 'Its breaker is closed and its rests end now: the next request asks it. If it still fails, it rests again.',
        doing: 'Reset',
        onClose: () => setReset(null),
        run: async (reason) => {
          await write('POST', reset.path, { reason });
          scene.say(`The ${reset.what} is asked again.`);
          asked.again();
        },
      })
    }`;
}

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useAsked, write } from './admin-api.ts';
import {
  badge,
  bar,
  button,
  type Column,
  empty,
  Field,
  money,
  panel,
  refusedNote,
  skeleton,
  stat,
  table,
  WriteDialog,
  when,
} from './elements.ts';
import { bytesText, compact, counted, percent } from './format.ts';
import { h, html } from './html.ts';
import { useScene, whyNot } from './scene.ts';
import type { Cache, Purged } from './told.ts';

type Row = Cache['largest'][number];

function tiles(cache: Cache): VNode {
  const { requests, hit_rate: rate, saved_usd: saved, answers, bytes, max_bytes: most } = cache;
  const told = requests.hit + requests.shared;
  const size = bytes === null ? '–' : bytesText(bytes);
  return html`<div class="stats" id="answers">
    ${stat(
      'Hit rate of answers',
      html`<data value=${rate ?? ''}>${percent(rate)}</data>`,
      bar('Part of the requests that were told an answer again', rate ?? 0),
    )}
    ${stat(
      'Told again',
      html`<data value=${told} title=${counted(told)}>${compact(told)}</data>`,
      html`<b>${compact(requests.shared)}</b> of them while it was being made`,
    )}
    ${stat('Saved by answers', money(saved), html`<b>${compact(requests.miss + requests.away)}</b> misses, <b>${compact(requests.bypass)}</b> that wanted none`)}
    ${stat(
      'Answers kept',
      answers === null
        ? '–'
        : html`<data value=${answers} title=${counted(answers)}>${compact(answers)}</data>`,
      html`<b>${size}</b>${most === null ? '' : ` of ${bytesText(most)}`}${cache.evicted > 0 && html`, <b>${compact(cache.evicted)}</b> gave way`}`,
    )}
  </div>`;
}

/** Why answers are not kept, the most common reason first. */
function unkept({ unkept: told }: Cache): VNode | null {
  const rows = Object.entries(told)
    .filter(([, count]) => count > 0)
    .sort(([, one], [, other]) => other - one);
  if (rows.length === 0) return null;
  return html`<p class="row wrap">Not kept: ${rows.map(
    ([reason, count]) => html`<span class="badge quiet">${reason} <b>${compact(count)}</b></span>`,
  )}</p>`;
}

/** Throws answers away, of whom the form names. */
function PurgeDialog({
  onClose,
  onDone,
}: {
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const { say } = useScene();
  const [tenant, setTenant] = useState('');
  const [key, setKey] = useState('');
  const of = { ...(tenant === '' ? {} : { tenant }), ...(key === '' ? {} : { key }) };
  return h(
    WriteDialog,
    {
      title: 'Throw answers away',
      says: 'They are made anew when somebody asks for them. Without a tenant and a key: all of them.',
      doing: tenant === '' && key === '' ? 'Throw all away' : 'Throw away',
      isDangerous: true,
      onClose,
      run: async (reason) => {
        const { value } = await write<Purged>('POST', '/cache/purge', { ...of, reason });
        say(
          value.answers === null
            ? 'Redis is away: they will have gone before any is told again.'
            : `${counted(value.answers)} answers have gone.`,
        );
        onDone();
      },
    },
    html`${h(Field, { label: 'Tenant', value: tenant, onInput: setTenant, pattern: '[0-9]*', hint: 'Its id. Empty: of all.' })}
    ${h(Field, { label: 'Key', value: key, onInput: setKey, pattern: '[0-9]*', hint: 'Its id. Empty: of all.' })}`,
  );
}

/** The gateway's own cache: answers that are told again. */
export function Answers(): VNode {
  const scene = useScene();
  const asked = useAsked<Cache>('/cache', {}, 5_000);
  const [isPurging, setPurging] = useState(false);
  const cache = asked.value;
  const columns: readonly Column<Row>[] = [
    {
      head: 'Key',
      cell: ({ tenant, key }) =>
        html`<span class="two"><b>${key ?? '(first kind)'}</b><span class="muted">tenant ${tenant}</span></span>`,
    },
    { head: 'Model', cell: ({ model }) => model ?? '–' },
    { head: 'Route', cell: ({ route }) => route ?? '–', isExtra: true },
    {
      head: 'Size',
      cell: ({ bytes }) => html`<span title=${counted(bytes)}>${bytesText(bytes)}</span>`,
      isNumber: true,
    },
    {
      head: 'Made',
      cell: ({ made }) => (made === null ? '–' : when(made, scene.zone)),
      isNumber: true,
    },
  ];
  const store = cache?.store ?? null;
  const state =
    cache === null || store === null
      ? null
      : cache.is_up
        ? badge('good', store)
        : badge('bad', `${store} away`);
  const purge = button({
    text: 'Purge…',
    isSmall: true,
    whyNot: whyNot(scene, 'operator'),
    onClick: () => setPurging(true),
  });
  return html`
    ${
      asked.refused !== null
        ? refusedNote(asked.refused, asked.again)
        : cache === null
          ? skeleton(3)
          : store === null
            ? panel(
                'Answers told again',
                null,
                empty(
                  'No policy has a cache.',
                  html`<code>cache = "exact"</code> in a policy tells an answer again to who asks the same.`,
                ),
              )
            : html`
              ${tiles(cache)}
              ${panel(
                html`Answers told again ${state}`,
                purge,
                html`
                  <p class="says">Counted by ${scene.node.name} since it started.${!cache.whole && cache.answers !== null && ` Redis has more than the ${counted(cache.answers)} that were looked at.`}</p>
                  ${unkept(cache)}
                  ${
                    cache.largest.length === 0
                      ? empty(
                          'No answer is kept.',
                          'Requests with temperature 0, a seed, or x-sluice-cache: on are.',
                        )
                      : table('Largest answers', columns, cache.largest)
                  }`,
              )}`
    }
    ${isPurging && h(PurgeDialog, { onClose: () => setPurging(false), onDone: asked.again })}
  `;
}

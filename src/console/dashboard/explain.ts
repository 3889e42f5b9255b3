import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { asRefused, type Refused, write } from './admin-api.ts';
import { badge, empty, money, refusedNote, skeleton, table } from './elements.ts';
import { duration } from './format.ts';
import { html } from './html.ts';
import type { Explained } from './told.ts';

interface ExplainProps {
  /** As `POST /explain` takes it. */
  readonly wish: Readonly<Record<string, unknown>>;
}

type Target = Explained['targets'][number];

function sentences(title: string, texts: readonly string[]): VNode | false {
  return (
    texts.length > 0 &&
    html`<h3>${title}</h3>
      <ul class="sentences">${texts.map((text) => html`<li>${text}</li>`)}</ul>`
  );
}

/** How it came into the plan, and whether the caller's words are written anew for it. */
function whyThere({ fallback, through, translation }: Target): string {
  const parts = [fallback === 0 ? 'wanted' : `fallback ${fallback}`];
  if (through.length > 0) parts.push(`through ${through.join(', ')}`);
  if (translation !== null) parts.push(translation);
  return parts.join(', ');
}

export function explained(told: Explained): VNode {
  let place = 0;
  const places = told.targets.map((target) => (target.left_out === null ? ++place : null));
  const placeOf = (row: Target): string => {
    const at = places[told.targets.indexOf(row)] ?? null;
    return at === null ? '' : `${at}. `;
  };
  return html`<div class="explained">
    ${
      told.refused === null
        ? html`<p>${badge('good', 'would be served')}</p>`
        : html`<p class="note bad"><b>${told.refused.status} ${told.refused.code}</b> ${told.refused.says}</p>`
    }
    ${
      told.targets.length === 0
        ? empty('No target.', 'Nothing here answers to this name.')
        : table(
            'The plan',
            [
              {
                head: 'Target',
                cell: (row: Target) => html`<span class="two"
                  ><b>${placeOf(row)}${row.name}</b
                  ><span class="muted">${whyThere(row)}</span></span
                >`,
              },
              {
                head: 'State',
                cell: (row: Target) =>
                  row.left_out !== null
                    ? html`${badge('quiet', 'left out')} <span class="muted">${row.left_out.replaceAll('_', ' ')}</span>`
                    : row.wait_ms > 0
                      ? badge('warn', `waits ${duration(row.wait_ms)}`)
                      : badge('good', 'in the plan'),
              },
              {
                head: 'At most',
                cell: (row: Target) => (row.most_usd === null ? '–' : money(row.most_usd)),
                isNumber: true,
              },
            ],
            told.targets,
            (row) => (row.left_out === null ? '' : 'left-out'),
          )
    }
    ${sentences('Limits', told.limits)} ${sentences('Budgets', told.budgets)}
    ${sentences('What else holds', told.notes)}
    <p class="hint">Nothing was sent: this is what would happen now.</p>
  </div>`;
}

/** Asks what would happen to a request, and shows it. */
export function Explain({ wish }: ExplainProps): VNode {
  const [told, setTold] = useState<Explained | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const text = JSON.stringify(wish);
  useEffect(() => {
    let isOver = false;
    setRefused(null);
    write<Explained>('POST', '/explain', wish).then(
      ({ value }) => isOver || setTold(value),
      (error: unknown) => isOver || setRefused(asRefused(error)),
    );
    return () => {
      isOver = true;
    };
  }, [text]);
  if (refused !== null) return refusedNote(refused);
  return told === null ? skeleton(4) : explained(told);
}

import type { VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { addressTo, useAsked } from './admin-api.ts';
import { Chart, type Series } from './chart.ts';
import {
  badge,
  empty,
  panel,
  refusedNote,
  skeleton,
  sparkline,
  stat,
  type Tone,
  table,
  when,
} from './elements.ts';
import { compact, counted, duration, rate } from './format.ts';
import { h, html } from './html.ts';
import { useScene } from './scene.ts';
import type { Now, Refusals } from './told.ts';
import { isOfFleet } from './whose-numbers.ts';

/** Seconds that the page keeps of what it was told: two minutes, both ends with them. */
const KEPT = 121;

interface Live {
  readonly past: readonly Now[];
  readonly isCut: boolean;
}

/**
 * What the node tells each second, for as long as somebody can see the screen: a browser opens six connections to one place for
 * all of its tabs, and a seventh tab would wait for one of those that nobody looks at.
 */
function useLive(): Live {
  const [live, setLive] = useState<Live>({ past: [], isCut: false });
  useEffect(() => {
    let source: EventSource | null = null;
    const look = (): void => {
      const isSeen = document.visibilityState === 'visible';
      if (isSeen === (source !== null)) return;
      source?.close();
      source = null;
      if (!isSeen) return;
      source = new EventSource(addressTo('/live'));
      source.addEventListener('now', (event) => {
        const told = JSON.parse((event as MessageEvent<string>).data) as Now;
        setLive(({ past }) => ({ past: [...past, told].slice(-KEPT), isCut: false }));
      });
      source.addEventListener('error', () => setLive(({ past }) => ({ past, isCut: true })));
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      document.removeEventListener('visibilitychange', look);
      source?.close();
    };
  }, []);
  return live;
}

const STATES: Readonly<Record<string, readonly [Tone, string]>> = {
  closed: ['good', 'in use'],
  probing: ['warn', 'probing'],
  open: ['bad', 'rests'],
};

/** How a breaker stands, in words. */
export function breaker(state: string, waitMs: number): VNode {
  const [tone, text] = STATES[state] ?? ['quiet', state];
  return badge(tone, state === 'open' && waitMs > 0 ? `${text} ${duration(waitMs)}` : text);
}

function tiles(past: readonly Now[], now: Now): VNode {
  const line = (of: (one: Now) => number, tone: Tone = 'accent'): VNode =>
    sparkline(past.map(of), tone);
  return html`<div class="stats">
    ${stat(
      'In flight',
      compact(now.in_flight),
      line((one) => one.in_flight),
    )}
    ${stat(
      'Requests / s',
      rate(now.requests_per_second),
      line((one) => one.requests_per_second),
    )}
    ${stat(
      'Errors / s',
      html`<span class=${now.errors_per_second > 0 ? 'bad-text' : ''}>${rate(now.errors_per_second)}</span>`,
      line((one) => one.errors_per_second, 'bad'),
    )}
    ${stat(
      'Refusals / s',
      rate(now.refusals_per_second),
      line((one) => one.refusals_per_second, 'warn'),
    )}
    ${stat(
      'First content, p50',
      duration(now.ttft_ms.p50),
      html`p95 <b>${duration(now.ttft_ms.p95)}</b>`,
    )}
    ${stat(
      'Tokens / s',
      rate(now.tokens_per_second),
      line((one) => one.tokens_per_second),
    )}
  </div>`;
}

function conditions(now: Now): VNode {
  return html`<div class="row wrap conditions">
    ${now.ready ? badge('good', 'ready') : badge('bad', 'not ready')}
    ${now.ledger_up === false && badge('bad', 'ledger is down')}
    ${now.ledger_up === null && badge('quiet', 'no ledger')}
    ${now.facts_lost > 0 && badge('bad', `${counted(now.facts_lost)} facts lost`)}
    ${now.states.map((state) => badge('warn', state))}
    <span class="muted">${counted(now.requests_total)} requests since its start</span>
  </div>`;
}

function LiveChart({ past }: { readonly past: readonly Now[] }): VNode {
  const steps = useMemo(
    () =>
      Array.from({ length: KEPT }, (_, index) =>
        index === KEPT - 1 ? 'now' : `${KEPT - 1 - index} s ago`,
      ),
    [],
  );
  const series = useMemo(() => {
    const before = Array.from({ length: KEPT - past.length }, () => null);
    const line = (name: string, colour: string, of: (one: Now) => number): Series => ({
      name,
      colour,
      isRest: false,
      values: [...before, ...past.map(of)],
    });
    return [
      line('Requests / s', 'var(--accent)', (one) => one.requests_per_second),
      line('Errors / s', 'var(--bad)', (one) => one.errors_per_second),
      line('Refusals / s', 'var(--warn-fill)', (one) => one.refusals_per_second),
    ];
  }, [past]);
  return h(Chart, {
    label: 'Requests, errors and refusals a second, of the last two minutes',
    steps,
    series,
    format: rate,
    kind: 'lines',
    height: 200,
  });
}

function refused(told: Refusals, zone: string): VNode {
  if (told.rows.length === 0) {
    return empty(
      'Nobody was refused.',
      'Keys that are over a limit or a budget, denied or unknown show here.',
    );
  }
  return table(
    'Refusals by tenant, key and reason',
    [
      { head: 'Reason', cell: (row) => html`<code>${row.reason}</code>` },
      { head: 'Tenant', cell: (row) => row.tenant },
      {
        head: 'Key',
        cell: (row) =>
          row.key === ''
            ? '–'
            : html`<a href=${`#/keys?q=${encodeURIComponent(row.key)}`}>${row.key}</a>`,
      },
      { head: 'Count', cell: (row) => counted(row.count), isNumber: true },
      { head: 'Last', cell: (row) => when(row.last, zone), isNumber: true },
    ],
    told.rows,
  );
}

export function NowScreen(): VNode {
  const { zone, node } = useScene();
  const { past, isCut } = useLive();
  const first = useAsked<Now>('/now');
  const refusals = useAsked<Refusals>('/refusals', {}, 5_000);
  const now = past.at(-1) ?? first.value;
  return html`
    <header class="screen-head">
      <h1>Now</h1>
      <p class="says">
        <span class="pulse ${isCut ? 'cut' : ''}"></span>
        ${isCut ? 'The live line was cut; the page tries again.' : html`Live from the node <b>${node.name}</b>, and of it alone.`}
        ${isOfFleet(node) && ' It is one of a fleet: the others have a screen like this of their own.'}
      </p>
    </header>
    ${first.refused !== null && refusedNote(first.refused, first.again)}
    ${
      now === null
        ? first.refused === null && skeleton()
        : html`
          ${conditions(now)} ${tiles(past, now)}
          ${panel('Last two minutes', null, h(LiveChart, { past }))}
          <div class="columns">
            ${panel(
              'Providers',
              null,
              now.providers.length === 0
                ? empty(
                    'No provider was asked yet.',
                    'The first request shows here within a second.',
                  )
                : table(
                    'Providers now',
                    [
                      { head: 'Provider', cell: (row) => html`<b>${row.name}</b>` },
                      {
                        head: 'Requests / s',
                        cell: (row) => rate(row.requests_per_second),
                        isNumber: true,
                      },
                      {
                        head: 'Errors / s',
                        cell: (row) => rate(row.errors_per_second),
                        isNumber: true,
                      },
                      { head: 'Waiting', cell: (row) => compact(row.waiting), isNumber: true },
                    ],
                    now.providers,
                  ),
            )}
            ${panel(
              'Targets',
              html`<a class="button small" href="#/providers">Providers</a>`,
              now.targets.length === 0
                ? empty(
                    'No target is watched yet.',
                    'Targets of routes show here once they were asked.',
                  )
                : table(
                    'Targets now',
                    [
                      { head: 'Target', cell: (row) => html`<b>${row.name}</b>` },
                      { head: 'State', cell: (row) => breaker(row.state, row.wait_ms) },
                      {
                        head: 'First content',
                        cell: (row) => (row.ttft_ms === 0 ? '–' : duration(row.ttft_ms)),
                        isNumber: true,
                      },
                    ],
                    now.targets,
                  ),
            )}
          </div>`
    }
    ${panel(
      'Refusals',
      null,
      refusals.refused !== null
        ? refusedNote(refusals.refused, refusals.again)
        : refusals.value === null
          ? skeleton(3)
          : refused(refusals.value, zone),
    )}
  `;
}

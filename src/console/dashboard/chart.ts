import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type UPlot from 'uplot';
import { html } from './html.ts';

/** Loaded by the page as a script of its own, before this module. */
const plotter = (): typeof UPlot => (globalThis as unknown as { uPlot: typeof UPlot }).uPlot;

/** How many colours the style sheet has for series; what is left over has one of its own. */
const SERIES_COLOURS = 8;

function colourOf({ isRest, colour }: Series, index: number): string {
  if (colour !== undefined) return colour;
  return isRest ? 'var(--series-rest)' : `var(--series-${(index % SERIES_COLOURS) + 1})`;
}

/** @returns a colour of the style sheet as a canvas takes it */
function resolved(colour: string): string {
  const probe = document.createElement('span');
  probe.style.color = colour;
  document.body.append(probe);
  const told = getComputedStyle(probe).color;
  probe.remove();
  return told;
}

/** Counts up with each change of the theme, since a canvas does not follow it. */
function useTheme(): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const next = (): void => setChanges((before) => before + 1);
    const media = matchMedia('(prefers-color-scheme: dark)');
    media.addEventListener('change', next);
    const watch = new MutationObserver(next);
    watch.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      media.removeEventListener('change', next);
      watch.disconnect();
    };
  }, []);
  return changes;
}

export interface Series {
  readonly name: string;
  readonly isRest: boolean;
  /** Null: nothing is known of that step. */
  readonly values: readonly (number | null)[];
  /** Default: by its place. */
  readonly colour?: string;
}

interface ChartProps {
  readonly label: string;
  /** Of each step, at the axis and above the legend. */
  readonly steps: readonly string[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  readonly kind: 'bars' | 'lines';
  readonly height?: number;
  /** What the legend says of each series when nothing is pointed at. */
  readonly totals?: readonly string[];
  /** Where a series' name leads; null: nowhere. */
  readonly hrefs?: readonly (string | null)[];
}

const FONT = '11px system-ui, sans-serif';

/** What is drawn: bars stand on each other, the first lowest; lines stand for themselves. */
function drawn({ kind, series, steps }: ChartProps): UPlot.AlignedData {
  const xs = steps.map((_, index) => index);
  if (kind === 'lines') return [xs, ...series.map(({ values }) => [...values])];
  const sums = steps.map(() => 0);
  const stacked = series.map(({ values }) =>
    values.map((value, index) => {
      const sum = (sums[index] ?? 0) + (value ?? 0);
      sums[index] = sum;
      return sum;
    }),
  );
  // The highest is drawn first, the lower ones over it.
  return [xs, ...stacked.reverse()];
}

function options(
  props: ChartProps,
  width: number,
  onStep: (step: number | null) => void,
): UPlot.Options {
  const { kind, steps, format } = props;
  const line = resolved('var(--line)');
  const ink = resolved('var(--muted)');
  const { paths } = plotter();
  const coloured = props.series.map((one, index) => resolved(colourOf(one, index)));
  const shape: Partial<UPlot.Series> =
    kind === 'bars'
      ? { paths: paths.bars?.({ size: [0.72, 64], radius: 0 }) ?? (() => null) }
      : { paths: paths.spline?.() ?? (() => null), width: 1.5 };
  const ordered = kind === 'bars' ? coloured.toReversed() : coloured;
  const axis = { stroke: ink, font: FONT, ticks: { show: false } };
  const least = Math.max(1, Math.ceil(steps.length / Math.max(2, Math.floor(width / 90))));
  // Of lines the last step is named, and then every tenth or twentieth before it.
  const apart = kind === 'lines' ? Math.ceil(least / 10) * 10 : least;
  return {
    width,
    height: props.height ?? 240,
    padding: [10, 20, 0, 0],
    legend: { show: false },
    cursor: { points: { show: kind === 'lines' }, drag: { x: false, y: false }, y: false },
    scales: {
      x: {
        time: false,
        range: (_, min, max) => (kind === 'bars' ? [min - 0.5, max + 0.5] : [min, max]),
      },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        splits: () => steps.flatMap((_, index) => (index % apart === 0 ? [index] : [])),
        values: (_, splits) => splits.map((index) => steps[index] ?? ''),
        size: 26,
      },
      {
        ...axis,
        grid: { stroke: line, width: 1 },
        values: (_, splits) => splits.map(format),
        size: (_, values) => Math.max(36, ...(values ?? []).map((text) => text.length * 6.6 + 12)),
        space: 44,
      },
    ],
    series: [
      {},
      ...ordered.map((colour) => ({
        ...shape,
        stroke: colour,
        ...(kind === 'bars' ? { fill: colour, width: 0 } : {}),
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(plot) => onStep(plot.cursor.idx ?? null)] },
  };
}

/**
 * Numbers over time, in colours that a legend explains; the legend tells the step that is pointed at. Whoever cannot see it
 * has the same numbers as a table.
 */
export function Chart(props: ChartProps): VNode {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const [step, setStep] = useState<number | null>(null);
  const theme = useTheme();
  const data = useMemo(() => drawn(props), [props.series, props.steps, props.kind]);
  // What a plot is made of; of the same make, it is given new numbers.
  const make = `${theme} ${props.kind} ${props.series.map(({ name }) => name).join('\n')} ${props.kind === 'bars' ? props.steps.join() : ''}`;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new (plotter())(options(props, element.clientWidth, setStep), data, element);
    plot.current = made;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientWidth !== made.width) {
        made.setSize({ width: element.clientWidth, height: props.height ?? 240 });
      }
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [make]);
  useEffect(() => plot.current?.setData(data), [data]);
  const told = step !== null && step < props.steps.length ? step : null;
  return html`<figure class="chart" aria-label=${props.label}>
    <div class="plot" ref=${place} aria-hidden="true"></div>
    <figcaption class="legend">
      <span class="legend-step">${told === null ? '' : props.steps[told]}</span>
      ${props.series.map((one, index) => {
        const { name, values } = one;
        const href = props.hrefs?.[index] ?? null;
        const value =
          told === null ? (props.totals?.[index] ?? '') : props.format(values[told] ?? 0);
        const text = name === '' ? '(none)' : name;
        return html`<span class="legend-item">
          <i style=${{ background: colourOf(one, index) }}></i>
          ${href === null ? html`<span class="legend-name">${text}</span>` : html`<a class="legend-name" href=${href} title=${`Only ${text}`}>${text}</a>`}
          <b>${value}</b>
        </span>`;
      })}
    </figcaption>
  </figure>`;
}

import type { Sample } from './sample.ts';

/** Something that was done to the surroundings, by the second. */
export interface Mark {
  readonly seconds: number;
  readonly name: string;
}

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly of: (sample: Sample) => number;
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
}

const PANELS: readonly Panel[] = [
  {
    title: 'resident memory, MiB',
    lines: [{ name: 'RSS', colour: '#0b5fa5', of: ({ rssMiB }) => rssMiB }],
  },
  {
    title: 'open descriptors and requests in flight',
    lines: [
      { name: 'descriptors', colour: '#7a3e9d', of: ({ fds }) => fds },
      { name: 'in flight', colour: '#c98a00', of: ({ inFlight }) => inFlight },
    ],
  },
  {
    title: 'trivial request, ms',
    lines: [
      { name: 'p99', colour: '#b3261e', of: ({ trivialP99Ms }) => trivialP99Ms },
      { name: 'p50', colour: '#e08c86', of: ({ trivialP50Ms }) => trivialP50Ms },
    ],
  },
  {
    title: 'requests and facts a second',
    lines: [
      { name: 'requests', colour: '#1e7d32', of: ({ requestsPerSecond }) => requestsPerSecond },
      { name: 'facts', colour: '#84b98d', of: ({ factsPerSecond }) => factsPerSecond },
    ],
  },
];

const WIDTH = 1_000;
const LEFT = 60;
const RIGHT = 20;
const PANEL = 150;
const GAP = 45;
const TOP = 50;
/** Letters stand for disturbances, as there is no room for words. */
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** The run as a picture: an SVG document. Behind the grey part the warm-up is over. */
export function curve(
  samples: readonly Sample[],
  marks: readonly Mark[],
  warmUpSeconds: number,
  caption: string,
): string {
  const seconds = Math.max(1, samples.at(-1)?.seconds ?? 1);
  const x = (at: number): number => LEFT + (at / seconds) * (WIDTH - LEFT - RIGHT);
  const names = [...new Set(marks.map(({ name }) => name))];
  const height = TOP + PANELS.length * (PANEL + GAP) + 20 * Math.ceil(names.length / 4) + 20;
  const panels = PANELS.map((panel, index) => {
    const top = TOP + index * (PANEL + GAP) + 20;
    return drawn(panel, samples, x, top, x(warmUpSeconds));
  });
  const bottom = TOP + PANELS.length * (PANEL + GAP) - GAP + 20;
  const drawnMarks = marks.map(({ seconds: at, name }) => {
    const letter = LETTERS[names.indexOf(name)] ?? '?';
    const where = x(at).toFixed(1);
    return `<line x1="${where}" x2="${where}" y1="${TOP}" y2="${bottom}" stroke="#999" stroke-dasharray="2 4"/><text x="${where}" y="${TOP - 4}" text-anchor="middle">${letter}</text>`;
  });
  const legend = names.map((name, index) => {
    const at = `x="${LEFT + (index % 4) * 230}" y="${bottom + 40 + 20 * Math.floor(index / 4)}"`;
    return `<text ${at}>${LETTERS[index] ?? '?'} = ${escaped(name)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="white"/>
<text x="${LEFT}" y="20" font-size="14">${escaped(caption)}</text>
${[...panels, ...drawnMarks, ...axis(seconds, x, bottom), ...legend].join('\n')}
</svg>
`;
}

function drawn(
  { title, lines }: Panel,
  samples: readonly Sample[],
  x: (seconds: number) => number,
  top: number,
  warmX: number,
): string {
  const values = lines.flatMap(({ of }) => samples.map(of)).filter(Number.isFinite);
  const most = roundUp(Math.max(1, ...values));
  const y = (value: number): number => top + PANEL - (value / most) * PANEL;
  const paths = lines.map(({ of, colour }) => {
    const points = samples
      .filter((sample) => Number.isFinite(of(sample)))
      .map((sample) => `${x(sample.seconds).toFixed(1)},${y(of(sample)).toFixed(1)}`);
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
  });
  const grid = [0, 0.5, 1].map((share) => {
    const at = y(most * share).toFixed(1);
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#ddd"/><text x="${LEFT - 6}" y="${at}" text-anchor="end">${most * share}</text>`;
  });
  const names = lines.map(({ name, colour }) => `<tspan fill="${colour}"> ■ ${name}</tspan>`);
  return `<rect x="${LEFT}" y="${top}" width="${(warmX - LEFT).toFixed(1)}" height="${PANEL}" fill="#f3f3f3"/>
${grid.join('')}<text x="${LEFT}" y="${top - 5}">${escaped(title)}${names.join('')}</text>
${paths.join('')}`;
}

function axis(seconds: number, x: (seconds: number) => number, bottom: number): readonly string[] {
  const step = roundUp(seconds / 60 / 6);
  const ticks = Math.floor(seconds / 60 / step);
  return Array.from({ length: ticks + 1 }, (_, index) => {
    const minutes = Number((index * step).toFixed(2));
    return `<text x="${x(minutes * 60).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${minutes} min</text>`;
  });
}

/** The next of 1, 2, 5, 10, 20, … */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

import { expect, test } from 'vitest';
import { WRITER_PHASES } from '../../src/edge/writer-phase.ts';
import { REQUEST_SIDE, RESPONSE_SIDE } from '../../src/exchange/exchange-state.ts';
import { ROUTED_STATES } from '../../src/exchange/routed-state.ts';
import { FAILURES } from '../../src/plan/failover.ts';
import { textOf } from '../support/source-tree.ts';

type Transitions = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>;

const inCode = (table: Transitions): readonly string[] =>
  Object.entries(table)
    .flatMap(([state, row]) =>
      Object.entries(row).map(([event, next]) => `${state} ${event} ${next}`),
    )
    .sort();

/** Rows `| state, state | event | next | effect |` between a heading and the next text. */
function inDocument(heading: string): readonly string[] {
  const text = textOf('ARCHITECTURE.md');
  const section = text.slice(text.indexOf(heading) + heading.length).trimStart();
  return section
    .slice(0, section.indexOf('\n\n'))
    .split('\n')
    .slice(2)
    .flatMap((line) => {
      const [states = '', event, next] = line
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return states.split(', ').map((state) => `${state} ${event} ${next}`);
    })
    .sort();
}

test.each([
  ['Request side (client → upstream):', REQUEST_SIDE],
  ['Response side (upstream → client):', RESPONSE_SIDE],
  ['### The routed state table (`exchange/routed-state.ts`)', ROUTED_STATES],
  ['what the front end can still be told.', WRITER_PHASES],
] as const)('ARCHITECTURE.md prints the table in force: %s', (heading, table) => {
  expect(inDocument(heading)).toEqual(inCode(table));
});

test('ARCHITECTURE.md prints what follows each failure', () => {
  const rows = Object.entries(FAILURES).map(([name, { reason, blames, again }]) =>
    `${name} ${reason} ${blames}`.concat(again ? ' yes' : ' no'),
  );
  const text = textOf('ARCHITECTURE.md');
  const section = text.slice(text.indexOf('| failure | `fallback_on` |'));
  const printed = section
    .slice(0, section.indexOf('\n\n'))
    .split('\n')
    .slice(2)
    .map((line) => {
      const [, name = '', reason = '', blames = '', again = ''] = line.split('|');
      return [name, reason, blames, again].map((cell) => cell.trim()).join(' ');
    });
  expect(printed.sort()).toEqual(rows.sort());
});

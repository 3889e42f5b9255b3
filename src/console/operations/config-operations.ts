import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../../config/config.ts';
import { type Config, configFromDocument } from '../../config/config-document.ts';
import { printConfig } from '../../config/config-print.ts';
import { type PrintedValues, printedValues } from '../../config/printed-values.ts';
import { type EffectiveConfig, loadEffective } from '../../overlay/effective-config.ts';
import { MASK } from '../../secret.ts';
import type { GatewayView } from '../gateway-view.ts';
import type { KnownEntries } from '../known-entries.ts';
import { type Operation, operation } from '../operation.ts';
import { CONFIG, NO_PATH, NO_QUERY } from '../shapes.ts';

type ConfigPage = z.output<typeof CONFIG>;

/** What a process with another value of it has chosen itself: a free port. */
const CHOSEN = new Set(['listen', 'metrics_listen']);

/** The effective configuration, who says what of it, and what the file says otherwise than what runs. */
export function configOperations(view: GatewayView, entries: KnownEntries): readonly Operation[] {
  return [
    operation({
      id: 'config',
      method: 'GET',
      path: '/config',
      summary:
        'The configuration that runs, what says each value, and what the file says otherwise.',
      tag: 'config',
      role: 'viewer',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'It, without a secret.', schema: CONFIG } },
      problems: ['unavailable'],
      writes: false,
      run: async () => {
        const known = await entries.now();
        const { loaded } = known;
        const running = configFromDocument(view.running());
        const effective = printConfig(running, loaded.overlay.locked);
        const values = printedValues(effective);
        const file = onDisk(view, [...known.entries.values()]);
        const body: ConfigPage = {
          source: loaded.source,
          effective,
          origins: [...loaded.origins].flatMap(([key, { file: origin, key: place }]) =>
            values.has(key)
              ? [{ key, value: values.get(key), origin, place: place === key ? null : place }]
              : [],
          ),
          refused: [...known.refused, ...file.problems].map(partOf),
          pending: file.config === null ? [] : pendingOf(running, file.config),
        };
        return { status: 200, body };
      },
    }),
  ];
}

/** What the file and the overlay come to now; problems where it is not valid. */
function onDisk(
  { source }: GatewayView,
  entries: Parameters<typeof loadEffective>[1],
): { readonly config: Config | null; readonly problems: readonly ConfigProblem[] } {
  try {
    const { loaded }: EffectiveConfig = loadEffective(source, entries, []);
    return { config: loaded.config, problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: null, problems: error.problems };
  }
}

function partOf({ file, key, found, expected }: ConfigProblem): ConfigPage['refused'][number] {
  return { key: `${file}: ${key}`, found, expected };
}

function pendingOf(running: Config, file: Config): ConfigPage['pending'] {
  const [now, then] = [running, file].map((config) => printedValues(printConfig(config)));
  const keys = [...new Set([...(now?.keys() ?? []), ...(then?.keys() ?? [])])];
  const changed = keys.filter((key) => {
    // Told member by member where it has some.
    if (keys.some((other) => other.startsWith(`${key}.`))) return false;
    if (CHOSEN.has(key) && String(then?.get(key)).endsWith(':0')) return false;
    return !isDeepStrictEqual(now?.get(key), then?.get(key));
  });
  const shown = (values: PrintedValues | undefined, key: string): string =>
    values?.has(key) === true ? JSON.stringify(values.get(key)) : '';
  return [
    ...changed.map((key) => ({ key, running: shown(now, key), file: shown(then, key) })),
    ...keysPending(running, file),
  ];
}

/** Pool keys are shown as masks, which say nothing of whether one is another. */
function keysPending(running: Config, file: Config): ConfigPage['pending'] {
  const names = [...running.poolKeys.keys()].filter((name) => file.poolKeys.has(name));
  const secrets = ({ poolKeys }: Config, name: string): readonly string[] =>
    (poolKeys.get(name) ?? []).map((key) => key.reveal());
  return names
    .filter((name) => {
      const [now, then] = [secrets(running, name), secrets(file, name)];
      return now.length === then.length && !isDeepStrictEqual(now, then);
    })
    .map((name) => ({ key: `pool_keys.${name}`, running: MASK, file: `${MASK} (another one)` }));
}

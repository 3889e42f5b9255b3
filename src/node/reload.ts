import { isDeepStrictEqual } from 'node:util';
import { ConfigError, type ConfigSource, type LoadedConfig } from '../config/config.ts';
import type { ConfigDocument } from '../config/config-document.ts';
import { lossesOf } from '../config/config-loss.ts';
import { problemLine } from '../config/config-problem.ts';
import { fileSignature } from '../config/file-signature.ts';
import type { Log } from '../outlet/log.ts';
import { type EffectiveConfig, loadEffective } from '../overlay/effective-config.ts';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import { PROVIDERS_MAX, providerSlots, providerTable } from '../providers/providers.ts';

/**
 * How often the files are looked at, in milliseconds. Looked at instead of watched: mounted secrets are replaced by
 * swapping a symbolic link in a parent folder, of which a watch on the file itself learns nothing.
 */
const LOOK_MS = 1_000;

/** What only a restart changes: listeners, threads, and what is opened once. */
const FIXED = [
  'listen',
  'metricsListen',
  'workers',
  'tlsCertFile',
  'tlsKeyFile',
  'natsUrl',
  'natsCredsFile',
  'configBucket',
  'snapshotPath',
  'dataDir',
  'ledger',
  'ledgerRetentionDays',
  'ledgerUrl',
  'redisUrl',
  'usageSpillPath',
] as const satisfies readonly (keyof ConfigDocument)[];

/** Files that are read once, at the start: a certificate that was renewed in its place is not taken. */
const FIXED_FILES = [
  'tlsCertFile',
  'tlsKeyFile',
] as const satisfies readonly (typeof FIXED)[number][];

/** Takes a configuration that is valid; exchanges that begin from now on go by it. */
type ApplyConfig = (document: ConfigDocument, slots: readonly string[]) => void;

/** Reads the configuration again when it is told to, or when a file that it came from has changed. */
export class Reloader {
  #source: ConfigSource;
  readonly #apply: ApplyConfig;
  readonly #log: Log;
  /** As it was read at the start: what only a restart changes is compared with it. */
  readonly #first: ConfigDocument;
  readonly #firstFiles: ReadonlyMap<string, string>;
  /** As it runs: its `listen` has a concrete port. */
  #running: ConfigDocument;
  /** As it was taken last. */
  #loaded: LoadedConfig;
  /** Signatures of the files as they were read last. */
  #files: ReadonlyMap<string, string>;
  #slots: readonly string[];
  /** What was made at run time, as its store has it now. */
  readonly #overlay: () => readonly OverlayEntry[];
  /** What of it counts. */
  #accepted: readonly OverlayEntry[];
  #refusedTold = '';
  /** What the last look saw. */
  #seen = '';
  #timer: NodeJS.Timeout | null = null;
  /** Reloads by their result. */
  readonly results = { ok: 0, failed: 0 };

  /** @param overlay what its store holds */
  constructor(
    source: ConfigSource,
    { loaded, accepted, refused }: EffectiveConfig,
    running: ConfigDocument,
    slots: readonly string[],
    apply: ApplyConfig,
    log: Log,
    overlay: () => readonly OverlayEntry[],
  ) {
    this.#source = { ...source, found: loaded.source };
    this.#first = loaded.document;
    this.#firstFiles = loaded.files;
    this.#running = running;
    this.#loaded = loaded;
    this.#files = loaded.files;
    this.#slots = slots;
    this.#apply = apply;
    this.#log = log;
    this.#overlay = overlay;
    this.#accepted = accepted;
    this.#tellRefused(refused);
  }

  /** How many entries of the overlay count, and how many do not. */
  overlay = { counting: 0, refused: 0 };

  /** Provider names by index. */
  get slots(): readonly string[] {
    return this.#slots;
  }

  get running(): ConfigDocument {
    return this.#running;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** A file that changed is read when it has not changed for one more look: it may be half written. */
  #look(): void {
    const now = [...this.#files.keys()].map(fileSignature).join(' ');
    const isSettled = now === this.#seen;
    this.#seen = now;
    if (isSettled && now !== [...this.#files.values()].join(' ')) this.reload('file');
  }

  /**
   * The new configuration is valid as a whole, or nothing changes.
   * @param trigger for the log: a signal's name, `file`, `overlay` or `admin`
   * @returns what is wrong with it, a line each; none: it was taken
   */
  reload(trigger: string): readonly string[] {
    let changed: readonly string[] = [];
    try {
      const effective = loadEffective(this.#source, this.#overlay(), this.#accepted);
      const { loaded } = effective;
      const losses = lossesOf(this.#loaded, loaded);
      if (losses.length > 0) throw new ConfigError(losses, loaded.files);
      changed = changedKeys(this.#loaded.document, loaded.document);
      this.#take(loaded);
      this.#loaded = loaded;
      this.#files = loaded.files;
      this.#accepted = effective.accepted;
      this.#tellRefused(effective.refused);
      this.#source = { ...this.#source, found: loaded.source };
      this.results.ok++;
    } catch (error) {
      this.results.failed++;
      // What was missing may come, and what is wrong may be put right.
      if (error instanceof ConfigError) this.#files = new Map([...this.#files, ...error.files]);
      const problems = error instanceof Error ? error.message.split('\n') : ['unknown'];
      this.#log.write('error', 'config_reload_failed', { trigger, problems });
      return problems;
    }
    this.#log.write('info', 'config_reloaded', { trigger, changed });
    return [];
  }

  /** Once, until it is something else that is refused. */
  #tellRefused(refused: EffectiveConfig['refused']): void {
    const places = new Set(refused.map(({ at, key }) => at?.slice(0, 2).join('.') ?? key));
    this.overlay = { counting: this.#accepted.length, refused: places.size };
    const problems = refused.map(problemLine);
    const told = problems.join('\n');
    if (told !== '' && told !== this.#refusedTold)
      this.#log.write('error', 'overlay_refused', { problems });
    this.#refusedTold = told;
  }

  #take({ document, files }: LoadedConfig): void {
    const names = providerTable(document.providers).map(({ name }) => name);
    const slots = providerSlots(this.#slots, names);
    if (slots.length > PROVIDERS_MAX) {
      throw new Error(
        `provider_authorities: there were more than ${PROVIDERS_MAX} provider names since the start. Restart to forget the old ones.`,
      );
    }
    const kept = Object.fromEntries(FIXED.map((key) => [key, this.#running[key]]));
    const running = { ...document, ...kept } as ConfigDocument;
    this.#apply(running, slots);
    this.#slots = slots;
    this.#running = running;
    const isReplaced = (key: (typeof FIXED_FILES)[number]): boolean => {
      const path = document[key];
      return path !== null && files.get(path) !== this.#firstFiles.get(path);
    };
    const replaced: readonly string[] = FIXED_FILES.filter(isReplaced);
    const keys = FIXED.filter(
      (key) => replaced.includes(key) || !isSame(document[key], this.#first[key]),
    ).map(snakeCase);
    if (keys.length > 0) this.#log.write('warn', 'config_needs_restart', { keys });
  }
}

/** The names of what differs, as the file nearly has them; never a value. */
function changedKeys(before: ConfigDocument, after: ConfigDocument): readonly string[] {
  const keys = Object.keys(after) as (keyof ConfigDocument)[];
  return keys
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => snakeCase(key).replace(/_ms$/, '_secs'));
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

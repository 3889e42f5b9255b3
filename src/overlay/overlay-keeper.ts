import { fileSignature } from '../config/file-signature.ts';
import type { DenySource } from '../deny/deny-source.ts';
import type { Log } from '../outlet/log.ts';
import { isExpired, type OverlayEntry } from './overlay-entry.ts';
import type { OverlayFeed } from './overlay-feed.ts';
import { overlayPath, readOverlayFile } from './overlay-file.ts';
import { NOTHING_OVERLAID, type OverlayState } from './overlay-store.ts';

/** How often the file is looked at, and what has ended is taken out; milliseconds. */
const TICK_MS = 500;

/** How long a start waits for NATS to answer, and then for the first reading; milliseconds. */
const FIRST_CONNECT_MS = 1_500;
const FIRST_READING_MS = 5_000;

interface OverlayKeeperOptions {
  /** Null: no fleet. */
  readonly source: DenySource | null;
  /** Where the overlay of a gateway without NATS is; null: nowhere. */
  readonly dataDir: string | null;
  readonly log: Log;
  /** Whether another connection to the same NATS stands. */
  readonly isReachable: () => boolean;
}

/** The main thread's side of the overlay: knows what is in it, and says when that changed. */
export class OverlayKeeper {
  readonly #options: OverlayKeeperOptions;
  readonly #path: string | null;
  #state: OverlayState = NOTHING_OVERLAID;
  /** What counted at the last look. */
  #counting: readonly OverlayEntry[] = [];
  #signature = '';
  #isReadable = true;
  #unreadableTold = '';
  #changed: () => void = () => {};
  #timer: NodeJS.Timeout | null = null;
  #feed: OverlayFeed | null = null;
  #startedMs = Number.POSITIVE_INFINITY;
  #isSettled = false;
  #isStopped = false;

  constructor(options: OverlayKeeperOptions) {
    this.#options = options;
    const { source, dataDir } = options;
    this.#path = source === null && dataDir !== null ? overlayPath(dataDir) : null;
    this.#readFile();
    this.#counting = this.entries;
  }

  /** What counts now: nothing that has ended. */
  get entries(): readonly OverlayEntry[] {
    const nowMs = Date.now();
    return this.#state.entries.filter((entry) => !isExpired(entry, nowMs));
  }

  /** False while the first word of NATS may still come in a moment. */
  get isSettled(): boolean {
    if (this.#isSettled) return true;
    const { source, isReachable } = this.#options;
    const limitMs = isReachable() ? FIRST_READING_MS : FIRST_CONNECT_MS;
    const isLate = performance.now() - this.#startedMs >= limitMs;
    this.#isSettled = source === null || isLate || this.#feed?.hasTold === true;
    return this.#isSettled;
  }

  /** @param changed called when other entries count than before */
  start(changed: () => void): void {
    this.#changed = changed;
    this.#startedMs = performance.now();
    if (this.#options.source !== null) void this.#follow(this.#options.source);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#feed?.stop();
  }

  /** The client library is loaded only where there is a NATS, and behind the start. */
  async #follow(source: DenySource): Promise<void> {
    const { OverlayFeed } = await import('./overlay-feed.ts');
    if (this.#isStopped) return;
    const { log, isReachable } = this.#options;
    this.#feed = new OverlayFeed(source, log, isReachable, (state) => {
      const isFirst = !this.#isSettled;
      this.#take(state);
      // Nobody may be served by the file alone who is held by the overlay: the first reading counts at once.
      if (isFirst) this.#tick();
    });
    this.#feed.start();
  }

  #tick(): void {
    if (this.#path !== null && fileSignature(this.#path) !== this.#signature) this.#readFile();
    const counting = this.entries;
    const isSame =
      counting.length === this.#counting.length &&
      counting.every((entry, at) => entry === this.#counting[at]);
    if (isSame) return;
    this.#counting = counting;
    this.#changed();
  }

  #readFile(): void {
    if (this.#path === null) return;
    const { log } = this.#options;
    this.#signature = fileSignature(this.#path);
    try {
      this.#take(readOverlayFile(this.#path));
      if (!this.#isReadable) log.write('info', 'overlay_readable_again');
      this.#isReadable = true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      log.write('error', 'overlay_unreadable', { path: this.#path, reason });
      this.#isReadable = false;
    }
  }

  #take(state: OverlayState): void {
    const { log } = this.#options;
    const before = this.#state.entries.length;
    this.#state = state;
    if (before > 0 && state.entries.length === 0)
      log.write('warn', 'overlay_empty', { entries_before: before });
    const unreadable = state.unreadable.join(' ');
    if (unreadable !== '' && unreadable !== this.#unreadableTold)
      log.write('error', 'overlay_entries_unreadable', { places: state.unreadable.slice(0, 20) });
    this.#unreadableTold = unreadable;
  }
}

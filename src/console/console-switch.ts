/** Turns the console on where the configuration names somebody who may use it: else none of its code is ever loaded. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ConsoleDoor, ConsoleDoorOptions, ToldPage } from './console-door.ts';
import type { ConsoleConfig } from './console-messages.ts';
import type { LiveView, NodeView } from './live-view.ts';

export interface ConsoleSwitchOptions extends Omit<ConsoleDoorOptions, 'view' | 'answers'> {
  readonly workers: number;
  readonly nodeView: NodeView;
  readonly answers: Omit<ConsoleDoorOptions['answers'], 'now'>;
}

export class ConsoleSwitch {
  readonly #options: ConsoleSwitchOptions;
  #wanted: ConsoleConfig | null = null;
  #door: ConsoleDoor | null = null;
  #isLoading = false;

  constructor(options: ConsoleSwitchOptions) {
    this.#options = options;
  }

  /** Whether there is a console; it may still be starting. */
  get isOn(): boolean {
    return this.#wanted !== null;
  }

  /** What was turned away since it is on; null: it is off. */
  get dropped(): { readonly calls: number; readonly readers: number } | null {
    return this.#door?.dropped ?? null;
  }

  /** @param config as it runs from now on */
  set(config: ConsoleConfig): void {
    this.#wanted = config.document.admin === null ? null : config;
    if (this.#wanted === null) this.#close();
    else if (this.#door !== null) this.#door.reload(this.#wanted);
    else void this.#open();
  }

  stop(): void {
    this.#wanted = null;
    this.#close();
  }

  /**
   * @param told a page of the listener's own, for whoever is let in
   * @returns false where there is no console: the caller answers by itself
   */
  handle(request: IncomingMessage, response: ServerResponse, told: ToldPage | null): boolean {
    if (this.#wanted === null) return false;
    if (this.#door !== null) this.#door.handle(request, response, told);
    else response.writeHead(503, { 'retry-after': '1', connection: 'close' }).end();
    return true;
  }

  #close(): void {
    this.#door?.stop();
    this.#door = null;
  }

  async #open(): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    const { log, start, workers, nodeView, answers } = this.#options;
    try {
      const [{ ConsoleDoor }, { LiveView }] = await Promise.all([
        import('./console-door.ts'),
        import('./live-view.ts'),
      ]);
      if (this.#wanted === null) return;
      const view: LiveView = new LiveView(start.tables.memory, workers, nodeView);
      view.read();
      this.#door = new ConsoleDoor(this.#wanted, {
        start,
        log,
        view,
        answers: { ...answers, now: () => view.now() },
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      log.write('error', 'console_failed', { reason });
    } finally {
      this.#isLoading = false;
    }
  }
}

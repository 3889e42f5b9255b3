import type { Log } from '../outlet/log.ts';
import type { Secret } from '../secret.ts';
import type { BudgetWarning } from './budget-keeper.ts';

/** Warnings that wait for the webhook; more are in the log alone. */
const WAITING_MAX = 256;
/** Tries of one warning, and the pause behind a failed one, in milliseconds: doubled each time. */
const TRIES = 4;
const PAUSE_MS = 1_000;
/** How long an answer is waited for, in milliseconds. */
const LIMIT_MS = 10_000;

/** Tells a webhook of budgets that near their end, one warning after the other, away from everything else. */
export class BudgetWebhook {
  readonly #url: () => Secret | null;
  readonly #log: Log;
  readonly #waiting: BudgetWarning[] = [];
  #isTelling = false;

  /** @param url of the configuration that runs; null: nobody is told */
  constructor(url: () => Secret | null, log: Log) {
    this.#url = url;
    this.#log = log;
  }

  tell(warning: BudgetWarning): void {
    if (this.#url() === null) return;
    if (this.#waiting.length >= WAITING_MAX) {
      this.#failed(warning, 'too many wait');
      return;
    }
    this.#waiting.push(warning);
    if (!this.#isTelling) void this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    this.#isTelling = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      await this.#tellOne(next);
    this.#isTelling = false;
  }

  async #tellOne(warning: BudgetWarning): Promise<void> {
    let reason = '';
    for (let at = 0; at < TRIES; at++) {
      if (at > 0)
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** (at - 1)).unref());
      const url = this.#url();
      if (url === null) return;
      reason = await posted(url.reveal(), warning);
      if (reason === '') return;
    }
    this.#failed(warning, reason);
  }

  /** The address may be a secret: it is not told. */
  #failed({ scope, name, window, percent }: BudgetWarning, reason: string): void {
    this.#log.write('error', 'budget_webhook_failed', { scope, name, window, percent, reason });
  }
}

/** @returns what went wrong; empty when nothing did */
async function posted(url: string, warning: BudgetWarning): Promise<string> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ event: 'budget_warning', ...warning }),
      redirect: 'error',
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    await response.body?.cancel();
    return response.ok ? '' : `status ${response.status}`;
  } catch (error) {
    const { cause, name } = error as { readonly cause?: { code?: string }; readonly name: string };
    return cause?.code ?? name;
  }
}

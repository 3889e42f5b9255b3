import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const PLACES = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/usr/local/bin'];
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

const found = PLACES.flatMap((folder) => NAMES.map((name) => `${folder}/${name}`)).find((path) =>
  existsSync(path),
);

/** Why the browser's tests cannot run; null where they can. */
export const CHROMIUM_MISSING: string | null =
  found === undefined ? 'needs chromium, found none: apt-get install chromium' : null;

export async function startBrowser(): Promise<Browser> {
  if (found === undefined) throw new Error(CHROMIUM_MISSING ?? '');
  // Its own sandbox needs rights that root in a container has not; nothing but the gateway's pages is loaded.
  return await chromium.launch({ executablePath: found, args: ['--no-sandbox'] });
}

export interface View {
  readonly width?: number;
  readonly colours?: 'light' | 'dark';
}

/** A page, and what went wrong on it: errors that its console tells, scripts that threw, requests to other places. */
export class WatchedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly faults: string[] = [];

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.context = context;
    this.page = page;
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        this.faults.push(`${message.text()} (${message.location().url})`);
      }
    });
    page.on('pageerror', (error) => this.faults.push(String(error.stack)));
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) {
        this.faults.push(`a request to ${url}`);
      }
    });
  }

  static async open(browser: Browser, origin: string, view: View = {}): Promise<WatchedPage> {
    const context = await browser.newContext({
      viewport: { width: view.width ?? 1_280, height: view.width === 360 ? 740 : 860 },
      colorScheme: view.colours ?? 'light',
      reducedMotion: 'reduce',
    });
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    return new WatchedPage(context, page, origin);
  }

  /** @returns what went wrong so far, and forgets it */
  taken(): readonly string[] {
    return this.faults.splice(0);
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

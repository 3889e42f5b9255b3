import { adminTokenTable } from '../../src/command/admin-token.ts';
import { newAdminToken } from '../../src/console/admin-token.ts';
import type { Role } from '../../src/console/operation.ts';
import { until } from './conditions.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { expectNoSecret, keepSecret } from './secrets.ts';

/** What a call to the console came to. */
export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  json(): Record<string, unknown>;
}

/** A token, and the table that lets it in. */
export interface Admin {
  readonly token: string;
  readonly table: string;
}

export function admin(name: string, role: Role, tenants: readonly string[] = []): Admin {
  const token = keepSecret(newAdminToken());
  return { token, table: adminTokenTable(name, token, role, tenants) };
}

/** A gateway with its console on. */
export class ConsoleScene {
  readonly gateway: Gateway;

  constructor(admins: readonly Admin[], options: GatewayOptions = {}) {
    const tables = admins.map(({ table }) => table).join('');
    this.gateway = new Gateway({
      ...options,
      config: `workers = 1\n${options.config ?? ''}\n${tables}`,
    });
  }

  async ready(): Promise<this> {
    await this.gateway.ready();
    await until('the console to answer', async () => (await this.page('/')).status !== 503);
    return this;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.gateway.metricsPort}`;
  }

  /** @param as whose call it is; null: nobody's */
  async call(
    as: Admin | null,
    method: string,
    path: string,
    {
      body,
      fields = {},
    }: { readonly body?: unknown; readonly fields?: Readonly<Record<string, string>> } = {},
  ): Promise<Told> {
    const own = as === null ? {} : { authorization: `Bearer ${as.token}` };
    const typed = body === undefined ? {} : { 'content-type': 'application/json' };
    return await this.page(`/admin/v1${path}`, {
      method,
      headers: { ...own, ...typed, ...fields },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  }

  async page(path: string, init: RequestInit = {}): Promise<Told> {
    const response = await fetch(`${this.origin}${path}`, { ...init, redirect: 'manual' });
    const text = await response.text();
    expectNoSecret(`the console's answer at ${path}`, text + JSON.stringify([...response.headers]));
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: () => JSON.parse(text) as Record<string, unknown>,
    };
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
  }
}

/** OpenID providers: a real one, and one that hands out whatever a test wants to see refused. */

import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { keepSecret } from './secrets.ts';

export const CLIENT_ID = 'sluice';
export const CLIENT_SECRET = keepSecret('the-client-secret-of-the-tests');

/** The package has no types of its own. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  interactionDetails(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{
    readonly prompt: { readonly name: string };
    readonly session?: { readonly accountId: string };
  }>;
  interactionFinished(
    request: IncomingMessage,
    response: ServerResponse,
    result: object,
    options: object,
  ): Promise<void>;
  readonly Grant: new (
    of: object,
  ) => { addOIDCScope(scope: string): void; save(): Promise<string> };
}

export interface Person {
  readonly name: string;
  readonly groups: readonly string[];
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** `oidc-provider`, in which whoever `signsIn` names has signed in already. */
export class RealProvider {
  signsIn: Person = { name: 'nobody', groups: [] };
  readonly issuer: string;
  readonly #server: Server;

  private constructor(server: Server, issuer: string) {
    this.#server = server;
    this.issuer = issuer;
  }

  /**
   * @param origin of the dashboard
   * @param host `localhost` is another site than 127.0.0.1, as a provider is in the world
   */
  static async start(origin: string, host = '127.0.0.1'): Promise<RealProvider> {
    const server = createServer();
    const own = new RealProvider(server, `http://${host}:${await listening(server)}`);
    const name = 'oidc-provider';
    const { default: Real } = (await import(name)) as {
      default: new (issuer: string, settings: object) => Provider;
    };
    const people = new Map<string, Person>();
    const provider = new Real(own.issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: CLIENT_SECRET,
          redirect_uris: [`${origin}/oidc/callback`],
          response_types: ['code'],
          grant_types: ['authorization_code'],
        },
      ],
      pkce: { required: () => true },
      // Said, they are not complained about.
      ttl: { Interaction: 60, Session: 60, Grant: 60, AccessToken: 60, IdToken: 60 },
      conformIdTokenClaims: false,
      claims: { openid: ['sub', 'groups', 'preferred_username'] },
      cookies: { keys: [randomUUID()] },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_: unknown, id: string) => ({
        accountId: id,
        claims: () => ({
          sub: id,
          preferred_username: id,
          groups: people.get(id)?.groups ?? [],
        }),
      }),
    });
    const serve = provider.callback();
    server.on('request', (request, response) => {
      if (request.url?.startsWith('/interaction/') !== true) {
        serve(request, response);
        return;
      }
      void (async () => {
        const { prompt, session } = await provider.interactionDetails(request, response);
        people.set(own.signsIn.name, own.signsIn);
        if (prompt.name === 'login') {
          const login = { accountId: own.signsIn.name };
          await provider.interactionFinished(request, response, { login }, {});
          return;
        }
        const grant = new provider.Grant({ accountId: session?.accountId, clientId: CLIENT_ID });
        grant.addOIDCScope('openid');
        const consent = { grantId: await grant.save() };
        const keeping = { mergeWithLastSubmission: true };
        await provider.interactionFinished(request, response, { consent }, keeping);
      })();
    });
    return own;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** What an ID token says, and with what it is signed. */
export interface Forged {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly alg?: 'RS256' | 'none' | 'HS256';
  readonly key?: KeyObject;
  readonly kid?: string;
}

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;

/** One that says what it is told to say. */
export class ForgingProvider {
  readonly key = rsa();
  /** Of the keys that it shows: those of today. */
  shown: readonly (readonly [kid: string, key: KeyObject])[] = [['today', this.key]];
  forged: Forged = {};
  issuer = '';
  #nonce = '';
  readonly #server = createServer((request, response) => this.#answer(request, response));

  async start(): Promise<this> {
    this.issuer = `http://127.0.0.1:${await listening(this.#server)}`;
    return this;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.issuer);
    const json = (body: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (url.pathname === '/.well-known/openid-configuration')
      json({
        issuer: this.issuer,
        authorization_endpoint: `${this.issuer}/auth`,
        token_endpoint: `${this.issuer}/token`,
        jwks_uri: `${this.issuer}/jwks`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      });
    else if (url.pathname === '/jwks')
      json({
        keys: this.shown.map(([kid, key]) => ({
          ...createPublicKey(key).export({ format: 'jwk' }),
          kid,
          use: 'sig',
          alg: 'RS256',
        })),
      });
    else if (url.pathname === '/auth') {
      this.#nonce = url.searchParams.get('nonce') ?? '';
      const back = new URL(url.searchParams.get('redirect_uri') ?? '');
      back.searchParams.set('code', 'a-code');
      back.searchParams.set('state', url.searchParams.get('state') ?? '');
      response.writeHead(302, { location: back.href }).end();
    } else if (url.pathname === '/token')
      json({ access_token: 'at', token_type: 'Bearer', id_token: this.#idToken() });
    else response.writeHead(404).end();
  }

  #idToken(): string {
    const { claims, alg = 'RS256', key = this.key, kid = 'today' } = this.forged;
    const now = Math.floor(Date.now() / 1_000);
    const own = {
      iss: this.issuer,
      aud: CLIENT_ID,
      sub: 'eve',
      iat: now,
      exp: now + 60,
      nonce: this.#nonce,
      groups: ['ai-admins'],
      ...claims,
    };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg, kid })}.${part(own)}`;
    const signature =
      alg === 'none' ? '' : sign('sha256', Buffer.from(text), key).toString('base64url');
    return `${text}.${signature}`;
  }
}

/** A browser's cookies and redirects, as far as a sign-in needs them. */
export class Wanderer {
  readonly #cookies = new Map<string, Map<string, string>>();

  /** Follows redirects to their end. @returns each answer on the way, the last one last */
  async go(from: string): Promise<readonly Response[]> {
    const answers: Response[] = [];
    for (let at = from; answers.length < 12; ) {
      const url = new URL(at);
      const response = await fetch(url, {
        redirect: 'manual',
        headers: { cookie: this.cookies(url.host) },
      });
      answers.push(response);
      for (const line of response.headers.getSetCookie()) this.#keep(url.host, line);
      const location = response.headers.get('location');
      if (location === null) break;
      await response.arrayBuffer();
      at = new URL(location, url).href;
    }
    return answers;
  }

  /** As the field has them. */
  cookies(host: string): string {
    const own = this.#cookies.get(host) ?? new Map<string, string>();
    return [...own].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  forget(host: string): void {
    this.#cookies.delete(host);
  }

  #keep(host: string, line: string): void {
    const [pair = ''] = line.split(';');
    const at = pair.indexOf('=');
    const own = this.#cookies.get(host) ?? new Map<string, string>();
    this.#cookies.set(host, own);
    if (/max-age=0|expires=Thu, 01 Jan 1970/i.test(line)) own.delete(pair.slice(0, at));
    else own.set(pair.slice(0, at), pair.slice(at + 1));
  }
}

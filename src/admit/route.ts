import type { Provider } from '../providers/providers.ts';

/** Where a request goes. */
interface Route {
  readonly provider: Provider;
  /** The path the provider is asked for: the rest behind the provider's segment, verbatim. */
  readonly path: string;
}

/**
 * Chooses a provider by the first path segment. Whole segments, case-sensitive, on the raw path: nothing is decoded and
 * no dot segment is removed, so no spelling of a path reaches a host that its first segment does not name.
 */
export class Router {
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #openai: Provider;
  readonly #anthropic: Provider;
  readonly #names: string;

  constructor(table: readonly Provider[]) {
    this.#providers = new Map(table.map((provider) => [provider.name, provider]));
    this.#openai = this.#known('openai');
    this.#anthropic = this.#known('anthropic');
    this.#names = table.map(({ name }) => name).join(', ');
  }

  #known(name: string): Provider {
    const provider = this.#providers.get(name);
    if (provider === undefined) throw new Error(`The provider table has no ${name}.`);
    return provider;
  }

  /**
   * @param path raw, begins with `/`
   * @param anthropicCaller the caller's own key came the way that only Anthropic's SDKs send it
   * @returns null when the first segment names nobody
   */
  route(path: string, anthropicCaller: boolean): Route | null {
    const segment = firstSegment(path);
    if (segment === 'v1') {
      const messages = path === '/v1/messages' || path.startsWith('/v1/messages/');
      return { provider: messages || anthropicCaller ? this.#anthropic : this.#openai, path };
    }
    const provider = this.#providers.get(segment);
    if (provider === undefined) return null;
    return { provider, path: path.slice(segment.length + 1) || '/' };
  }

  /** One sentence for a caller whose segment named nobody. */
  explain(path: string): string {
    const segment = firstSegment(path).slice(0, SHOWN_SEGMENT_CHARACTERS);
    return `"${segment}" is not one of: v1, ${this.#names}.`;
  }
}

/** Enough to recognise a typing error, too little to reflect somebody's data. */
const SHOWN_SEGMENT_CHARACTERS = 64;

function firstSegment(path: string): string {
  const end = path.indexOf('/', 1);
  return end === -1 ? path.slice(1) : path.slice(1, end);
}

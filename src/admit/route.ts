import type { Provider } from '../providers/providers.ts';
import { strayAdvice } from './base-url.ts';

/** Where a request goes. */
interface Route {
  readonly provider: Provider;
  /** The path the provider is asked for: the rest behind the provider's segment, verbatim. */
  readonly path: string;
  /** The first segment names the provider. */
  readonly named: boolean;
  /** Nothing names anybody: a base URL without `/v1`, which only a virtual key may have. */
  readonly bare: boolean;
}

/** First segments of the endpoints that are routed by model, for base URLs without `/v1`. */
const BARE: ReadonlySet<string> = new Set([
  'chat',
  'completions',
  'embeddings',
  'messages',
  'models',
  'responses',
]);

/**
 * What is OpenAI's alone behind `/v1`: whatever a caller says of itself, these are no paths of Anthropic's, and its key
 * would be told to the wrong company. Both have `models` and `files`; what neither is known for goes by the caller.
 */
const ONLY_OPENAI: ReadonlySet<string> = new Set([
  'assistants',
  'audio',
  'batches',
  'chat',
  'chatkit',
  'completions',
  'containers',
  'conversations',
  'embeddings',
  'evals',
  'fine_tuning',
  'images',
  'moderations',
  'organization',
  'projects',
  'realtime',
  'responses',
  'threads',
  'uploads',
  'vector_stores',
  'videos',
]);

/**
 * Chooses a provider by the first path segment. Whole segments, case-sensitive, on the raw path: nothing is decoded and
 * no dot segment is removed, so no spelling of a path reaches a host that its first segment does not name.
 */
export class Router {
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #openai: Provider;
  readonly #anthropic: Provider;
  /** The whole table. */
  readonly providers: readonly Provider[];

  constructor(table: readonly Provider[]) {
    this.#providers = new Map(table.map((provider) => [provider.name, provider]));
    this.#openai = this.#known('openai');
    this.#anthropic = this.#known('anthropic');
    this.providers = table;
  }

  #known(name: string): Provider {
    const provider = this.#providers.get(name);
    if (provider === undefined) throw new Error(`The provider table has no ${name}.`);
    return provider;
  }

  /**
   * @param path raw, begins with `/`
   * @param anthropicCaller the caller says that it speaks Anthropic's wire, which decides where both vendors have a path
   * @returns null when the first segment names nobody
   */
  route(path: string, anthropicCaller: boolean): Route | null {
    const segment = firstSegment(path);
    if (segment === 'v1') {
      const second = segmentFrom(path, 4);
      const anthropic = second === 'messages' || (anthropicCaller && !ONLY_OPENAI.has(second));
      const provider = anthropic ? this.#anthropic : this.#openai;
      return { provider, path, named: false, bare: false };
    }
    const provider = this.#providers.get(segment);
    if (provider !== undefined) {
      const rest = path.slice(segment.length + 1) || '/';
      return { provider, path: rest, named: true, bare: false };
    }
    if (!BARE.has(segment)) return null;
    const isAnthropic = segment === 'messages' || (anthropicCaller && !ONLY_OPENAI.has(segment));
    const byDefault = isAnthropic ? this.#anthropic : this.#openai;
    return { provider: byDefault, path: `/v1${path}`, named: false, bare: true };
  }

  /** Sentences for a caller whose segment named nobody. */
  explain(path: string): string {
    return strayAdvice(
      path,
      this.providers.filter(({ onlyVirtual }) => !onlyVirtual).map(({ name }) => name),
    );
  }
}

function firstSegment(path: string): string {
  return segmentFrom(path, 1);
}

function segmentFrom(path: string, from: number): string {
  const end = path.indexOf('/', from);
  return end === -1 ? path.slice(from) : path.slice(from, end);
}

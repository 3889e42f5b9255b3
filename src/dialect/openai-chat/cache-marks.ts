import type { CacheLife } from '../conversation.ts';
import { type JsonObject, objectIn } from '../json-values.ts';

/** Anthropic's `cache_control`, which OpenRouter's and LiteLLM's clients send here, and OpenAI's own breakpoint. */
export function cacheLifeOf(value: JsonObject): CacheLife | null {
  const control = objectIn(value, 'cache_control');
  if (control !== null) return control['ttl'] === '1h' ? '1h' : '5m';
  const breakpoint = objectIn(value, 'prompt_cache_breakpoint');
  if (breakpoint === null) return null;
  return breakpoint['ttl'] === '12h' ? '1h' : '5m';
}

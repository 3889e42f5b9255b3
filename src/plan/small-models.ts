import type { PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { ROUTE_DEFAULTS, type RouteSettings } from './route-table.ts';

/** The route that exists without being written. */
export const AUTO = 'auto';

/** Each provider's small model that answers most things well enough. One that is not priced is never taken. */
const SMALL_MODELS: ReadonlyMap<string, string> = new Map([
  ['openai', 'gpt-5-mini'],
  ['anthropic', 'claude-haiku-4-5'],
  ['gemini', 'gemini-2.5-flash-lite'],
  ['groq', 'openai/gpt-oss-20b'],
  ['mistral', 'mistral-small-latest'],
  ['deepseek', 'deepseek-chat'],
  ['cerebras', 'gpt-oss-120b'],
  ['xai', 'grok-4.3'],
]);

/** The configuration's routes, and `auto` where it writes none and there is a pool key for one of the small models. */
export function withAuto(
  routes: ReadonlyMap<string, RouteSettings>,
  providers: readonly Provider[],
  poolKeys: PoolKeys,
): ReadonlyMap<string, RouteSettings> {
  if (routes.has(AUTO)) return routes;
  const targets = providers.flatMap((provider) => {
    const model = SMALL_MODELS.get(provider.name);
    if (model === undefined || poolKeys.of(provider).length === 0) return [];
    return [{ to: `${provider.name}/${model}`, weight: 1 }];
  });
  if (targets.length === 0) return routes;
  return new Map([...routes, [AUTO, { ...ROUTE_DEFAULTS, targets, balance: 'cost' }]]);
}

/**
 * What a managed key may reach. A pool key is shared by all tenants, so only what cannot open one tenant's stored data
 * to another is let through (contracts: what a managed request may reach).
 */

import type { EndpointMetering } from '../providers/endpoint-metering.ts';

/** Found out about one managed request's path and method. */
type EndpointVerdict = EndpointMetering | 'unknown' | 'wrong-method-post' | 'wrong-method-get';

/** A path that ends so may be POSTed to. */
const BUILT_IN: readonly (readonly [suffix: string, metering: EndpointMetering])[] = [
  ['/chat/completions', 'completions'],
  ['/completions', 'completions'],
  ['/responses', 'answers'],
  ['/messages', 'answers'],
  ['/messages/count_tokens', 'free'],
  ['/embeddings', 'reports'],
  ['/responses/input_tokens', 'free'],
  ['/responses/compact', 'answers'],
];

// The id is one plain segment: `..%2ffiles` would be another endpoint to a server that decodes before it routes.
const MODELS = /\/models(?:\/(?!\.{1,2}$)[A-Za-z0-9._:@~-]+)?$/;

// Servers disagree about these, and decode once, twice or not at all; whichever way one reads a path, it must be the one
// that was checked here.
const AMBIGUOUS = /\/\.{1,2}\/|%|\\/;

// What OpenAI's Assistants store: `/threads/{id}/messages` ends like an endpoint that stores nothing.
const STORED = /\/threads\//;

/** The endpoints that a managed key may reach, built once at boot. */
export class ManagedEndpoints {
  readonly #suffixes: readonly (readonly [suffix: string, metering: EndpointMetering])[];

  /** @param added further suffixes, from the configuration */
  constructor(added: readonly string[]) {
    this.#suffixes = [...BUILT_IN, ...added.map((suffix) => [suffix, 'reports'] as const)];
  }

  /** @param path the forwarded path, raw, without query */
  judge(method: string, path: string): EndpointVerdict {
    if (AMBIGUOUS.test(path) || STORED.test(path)) return 'unknown';
    for (const [suffix, metering] of this.#suffixes) {
      if (path.endsWith(suffix)) return method === 'POST' ? metering : 'wrong-method-post';
    }
    if (!MODELS.test(path)) return 'unknown';
    return method === 'GET' || method === 'HEAD' ? 'free' : 'wrong-method-get';
  }
}

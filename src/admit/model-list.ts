/**
 * The gateway's own list of models, for virtual keys on paths that name no provider: OpenAI's shape
 * (platform.openai.com/docs/api-reference/models), or Anthropic's (platform.claude.com/docs/en/api/models-list) for who
 * speaks Anthropic. Made once for each configuration.
 */

import type { ModelPermission } from '../policy/model-permission.ts';
import { notAllowed } from '../policy/policy-refusals.ts';
import { type Dialect, type Rejection, rejection } from '../rejection.ts';

/** One name of the list. */
export interface ListedModel {
  /** What goes into `model`. */
  readonly id: string;
  /** The provider; of a route, the gateway. */
  readonly owner: string;
  /** Tokens; null = not known. */
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
}

/** One wire's list: every name as it is told, in order, and where it stands. */
interface Shelf {
  readonly ids: readonly string[];
  readonly items: readonly string[];
  readonly places: ReadonlyMap<string, number>;
  /** OpenAI's whole answer: it knows no pages. */
  readonly whole: string;
}

const LIST = '/v1/models';

/** "Defaults to 20. Ranges from 1 to 1000." (platform.claude.com/docs/en/api/models-list) */
const PAGE_DEFAULT = 20;
const PAGE_MAX = 1000;

/** Enough to recognise a typing error. */
const NAME_SHOWN_CHARACTERS = 64;

export class ModelList {
  readonly #shelves: Readonly<Record<Dialect, Shelf>>;
  readonly #permission: ModelPermission | null;

  /**
   * @param models by the wire that they answer on
   * @param permission of whom it is for: nothing but these is told; null = everything may be
   */
  constructor(
    models: Readonly<Record<Dialect, readonly ListedModel[]>>,
    permission: ModelPermission | null = null,
  ) {
    this.#permission = permission;
    this.#shelves = {
      openai: shelf(models.openai, openaiItem),
      anthropic: shelf(models.anthropic, anthropicItem),
    };
  }

  /**
   * Answers a GET or HEAD of `/v1/models` or of one model below it.
   * @param path without query, as its sender wrote it: an id in it may be percent-encoded
   * @param query as its sender wrote it
   * @returns the body; null: not the gateway's to answer, because the path is another one, nothing is listed for this wire,
   * or the model is a plain name, which the default provider knows
   */
  answer(path: string, query: string, dialect: Dialect): string | Rejection | null {
    const { ids, items, places, whole } = this.#shelves[dialect];
    const permission = this.#permission;
    if (ids.length === 0 && permission === null) return null;
    if (path === LIST) return dialect === 'openai' ? whole : page(query, ids, items, places);
    if (!path.startsWith(`${LIST}/`)) return null;
    const id = decoded(path.slice(LIST.length + 1));
    if (id === null) return null;
    const item = items[places.get(id) ?? -1];
    if (item !== undefined) return item;
    if (id.includes('/')) return unlisted(id);
    // Where a plain name goes has the dialect's name.
    const name = `${dialect}/${id}`;
    return permission?.allows(name) === false ? notAllowed(name, permission) : null;
  }
}

function shelf(models: readonly ListedModel[], item: (model: ListedModel) => string): Shelf {
  const ids = models.map(({ id }) => id);
  const items = models.map(item);
  const places = new Map(ids.map((id, at) => [id, at]));
  return { ids, items, places, whole: `{"object":"list","data":[${items.join(',')}]}` };
}

function openaiItem({ id, owner }: ListedModel): string {
  // When a model was made is not known here. 0 is what Anthropic documents for that, and it parses.
  return JSON.stringify({ id, object: 'model', created: 0, owned_by: owner });
}

/** "May be set to an epoch value if the release date is unknown." (platform.claude.com/docs/en/api/models) */
const NO_DATE = '1970-01-01T00:00:00Z';

function anthropicItem({ id, contextTokens, maxOutputTokens }: ListedModel): string {
  return JSON.stringify({
    type: 'model',
    id,
    display_name: id,
    created_at: NO_DATE,
    max_input_tokens: contextTokens,
    max_tokens: maxOutputTokens,
    capabilities: null,
  });
}

/** One page of Anthropic's list. What is odd in its parameters is passed over, but for a cursor that leads nowhere. */
function page(
  query: string,
  ids: readonly string[],
  items: readonly string[],
  places: ReadonlyMap<string, number>,
): string | Rejection {
  const asked = new URLSearchParams(query);
  const limit = limitOf(asked.get('limit'));
  const before = asked.get('before_id');
  const after = asked.get('after_id');
  const cursor = before ?? after;
  const place = cursor === null ? -1 : places.get(cursor);
  // A reload between two pages may take it away. The first page again would be read for ever.
  if (place === undefined) return unlisted(cursor ?? '');
  const from = before === null ? place + 1 : Math.max(0, place - limit);
  const to = before === null ? Math.min(ids.length, from + limit) : place;
  const hasMore = before === null ? to < ids.length : from > 0;
  const first = JSON.stringify(ids.slice(from, to)[0] ?? null);
  const last = JSON.stringify(ids.slice(from, to).at(-1) ?? null);
  const data = items.slice(from, to).join(',');
  return `{"data":[${data}],"has_more":${hasMore},"first_id":${first},"last_id":${last}}`;
}

function limitOf(text: string | null): number {
  if (text === null || !/^\d{1,9}$/.test(text)) return PAGE_DEFAULT;
  return Math.min(PAGE_MAX, Math.max(1, Number(text)));
}

/** @returns null for what is no name: nothing, or escapes that are none */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text) || null;
  } catch {
    return null;
  }
}

function unlisted(id: string): Rejection {
  return rejection('unknown_model', `"${id.slice(0, NAME_SHOWN_CHARACTERS)}" is not listed.`);
}

import { NO_TOKENS, type ReplyTerms, type Stop, type Tokens } from '../answer.ts';
import type { OutputItem, ResponseAnswer, ResponseUsage } from './shapes.ts';

type Incomplete = ResponseAnswer['incomplete_details'];

/** Null: the answer is whole. */
export function incompleteDetails(stop: Stop | null): Incomplete {
  if (stop?.reason === 'length') return { reason: 'max_output_tokens' };
  return stop?.reason === 'filtered' ? { reason: 'content_filter' } : null;
}

export function responseUsage({
  fresh,
  cacheRead,
  cacheWrite,
  output,
  reasoning,
}: Tokens): ResponseUsage {
  const input = fresh + cacheRead + cacheWrite;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cacheRead, cache_write_tokens: cacheWrite },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning ?? 0 },
    total_tokens: input + output,
  };
}

function tierOf(tier: string | null): ResponseAnswer['service_tier'] {
  return tier === 'priority' || tier === 'flex' ? tier : 'default';
}

/** One answer as it is told of in its states: opened, and at its end. Nothing of it is stored. */
export class ResponseObject {
  readonly #terms: ReplyTerms;
  #id = '';
  #model = '';
  #tokens = NO_TOKENS;
  #tier: string | null = null;
  #stop: Stop | null = null;

  constructor(terms: ReplyTerms) {
    this.#terms = terms;
  }

  began(id: string, model: string): void {
    this.#id = id;
    this.#model = model;
  }

  stopped(stop: Stop): void {
    this.#stop = stop;
  }

  usage(tokens: Tokens, tier: string | null): void {
    this.#tokens = tokens;
    this.#tier = tier;
  }

  get stop(): Stop | null {
    return this.#stop;
  }

  /** As a stream opens with it: nothing is known of what it will cost. */
  get opened(): ResponseAnswer {
    return this.#answer('in_progress', null, [], null);
  }

  ended(output: OutputItem[]): ResponseAnswer {
    const details = incompleteDetails(this.#stop);
    const status = details === null ? 'completed' : 'incomplete';
    return this.#answer(status, details, output, responseUsage(this.#tokens));
  }

  #answer(
    status: ResponseAnswer['status'],
    details: Incomplete,
    output: OutputItem[],
    usage: ResponseUsage | null,
  ): ResponseAnswer {
    const { id, created, model, echoed } = this.#terms;
    return {
      ...echoed,
      id: `resp_${this.#id || id}`,
      object: 'response',
      created_at: created,
      completed_at: status === 'completed' ? created : null,
      status,
      background: false,
      error: null,
      incomplete_details: details,
      model: this.#model || model,
      output,
      access_programs: null,
      previous_response_id: null,
      store: false,
      service_tier: tierOf(this.#tier),
      usage,
    };
  }
}

import { type Asked, CREATED_S, idFrom } from './asked.ts';
import { objectAt } from './json.ts';
import type { Counts } from './said.ts';

/** The keys of a response object in the order OpenAI writes them: usage near the end. */
const USUAL_ORDER =
  'id object created_at status background error incomplete_details instructions max_output_tokens max_tool_calls model output parallel_tool_calls previous_response_id prompt_cache_key reasoning safety_identifier service_tier store temperature text tool_choice tools top_logprobs top_p truncation usage user metadata';
/** Background mode writes them unsorted, usage in front of output, tools and instructions. */
const BACKGROUND_ORDER =
  'truncation tool_choice id usage status top_p temperature top_logprobs object created_at prompt_cache_key text incomplete_details previous_response_id model safety_identifier metadata store output parallel_tool_calls error instructions max_output_tokens service_tier max_tool_calls tools user reasoning background';
/** xAI puts about fifteen keys behind usage, instructions last. */
const XAI_ORDER =
  'created_at completed_at id max_output_tokens model object output parallel_tool_calls previous_response_id reasoning temperature text tool_choice tools top_p usage user incomplete_details status store metadata background service_tier truncation top_logprobs presence_penalty frequency_penalty prompt_cache_key max_tool_calls safety_identifier error instructions';

type Order = readonly string[];
const ORDERS: { readonly [name in 'usual' | 'background' | 'xai']: Order } = {
  usual: USUAL_ORDER.split(' '),
  background: BACKGROUND_ORDER.split(' '),
  xai: XAI_ORDER.split(' '),
};

/** The JSON text of the usage object of the Responses API. */
export function responseUsage(counts: Counts): string {
  return `{"input_tokens":${counts.input},"input_tokens_details":{"cached_tokens":${counts.cached}},"output_tokens":${counts.output},"output_tokens_details":{"reasoning_tokens":${counts.reasoning}},"total_tokens":${counts.input + counts.output}}`;
}

/** Renders the same response object in its states: the echoed request once, status, output and usage each time. */
export class ResponseObject {
  readonly #order: Order;
  readonly #members: Map<string, string>;

  constructor(asked: Asked) {
    const background = asked.body['background'] === true;
    if (asked.voice.vendor === 'xai') this.#order = ORDERS.xai;
    else this.#order = background ? ORDERS.background : ORDERS.usual;
    const { body } = asked;
    const echoed = (key: string, absent: unknown): [string, string] => [
      key,
      JSON.stringify(body[key] ?? absent),
    ];
    this.#members = new Map([
      ['id', JSON.stringify(idFrom(asked.seed, 'resp_', 48))],
      ['object', '"response"'],
      ['created_at', String(CREATED_S)],
      ['completed_at', 'null'],
      ['background', String(background)],
      ['error', 'null'],
      ['incomplete_details', 'null'],
      ['model', JSON.stringify(asked.model)],
      ['service_tier', '"default"'],
      ['safety_identifier', 'null'],
      ['presence_penalty', '0.0'],
      ['frequency_penalty', '0.0'],
      [
        'text',
        JSON.stringify({
          format: { type: 'text' },
          verbosity: 'medium',
          ...objectAt(body, 'text'),
        }),
      ],
      [
        'reasoning',
        JSON.stringify({ effort: null, summary: null, ...objectAt(body, 'reasoning') }),
      ],
      echoed('instructions', null),
      echoed('max_output_tokens', null),
      echoed('max_tool_calls', null),
      echoed('parallel_tool_calls', true),
      echoed('previous_response_id', null),
      echoed('prompt_cache_key', null),
      echoed('store', true),
      echoed('temperature', 1),
      echoed('tool_choice', 'auto'),
      echoed('tools', []),
      echoed('top_logprobs', 0),
      echoed('top_p', 1),
      echoed('truncation', 'disabled'),
      echoed('user', null),
      echoed('metadata', {}),
    ]);
  }

  /** The object as JSON text. `output` and `usage` are JSON texts too. */
  render(status: string, output: string, usage: string): string {
    this.#members.set('status', JSON.stringify(status));
    this.#members.set('output', output);
    this.#members.set('usage', usage);
    const members = this.#order.map((key) => `"${key}":${this.#members.get(key) ?? 'null'}`);
    return `{${members.join(',')}}`;
  }
}

/** What is written on OpenAI's Responses wire, as far as translations write it (OpenAI API reference, "Responses"). */

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface OutputText {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: [];
  readonly logprobs: [];
}

export interface OutputRefusal {
  readonly type: 'refusal';
  readonly refusal: string;
}

export interface MessageItem {
  readonly id: string;
  readonly type: 'message';
  readonly role: 'assistant';
  readonly status: ItemStatus;
  readonly content: (OutputText | OutputRefusal)[];
}

export interface SummaryText {
  readonly type: 'summary_text';
  readonly text: string;
}

export interface ReasoningItem {
  readonly id: string;
  readonly type: 'reasoning';
  readonly summary: SummaryText[];
  readonly encrypted_content?: string;
}

export interface FunctionCallItem {
  readonly id: string;
  readonly type: 'function_call';
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: string;
  readonly arguments: string;
  readonly status: ItemStatus;
}

/** A call of a tool that takes text as it is. */
export interface FreeCallItem {
  readonly id: string;
  readonly type: 'custom_tool_call';
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: string;
  readonly input: string;
}

export type OutputItem = MessageItem | ReasoningItem | FunctionCallItem | FreeCallItem;

export interface ResponseUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: {
    readonly cached_tokens: number;
    readonly cache_write_tokens: number;
  };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

/** What an answer says of itself; beside it, and not here, the request's settings are told again as they came. */
export interface ResponseAnswer {
  readonly id: string;
  readonly object: 'response';
  readonly created_at: number;
  readonly completed_at: number | null;
  readonly status: 'in_progress' | 'completed' | 'incomplete';
  readonly background: false;
  readonly error: null;
  readonly incomplete_details: {
    readonly reason: 'max_output_tokens' | 'content_filter';
  } | null;
  readonly model: string;
  readonly output: OutputItem[];
  readonly access_programs: null;
  readonly previous_response_id: null;
  readonly store: false;
  readonly service_tier: 'default' | 'priority' | 'flex';
  readonly usage: ResponseUsage | null;
}

interface OfItem {
  readonly item_id: string;
  readonly output_index: number;
}

interface OfContent extends OfItem {
  readonly content_index: 0;
}

interface OfSummary extends OfItem {
  readonly summary_index: 0;
}

type Part = OutputText | OutputRefusal;

/** Without its `sequence_number`, which every event has. */
export type ResponseEvent =
  | {
      readonly type:
        | 'response.created'
        | 'response.in_progress'
        | 'response.completed'
        | 'response.incomplete';
      readonly response: ResponseAnswer;
    }
  | {
      readonly type: 'response.output_item.added' | 'response.output_item.done';
      readonly output_index: number;
      readonly item: OutputItem;
    }
  | (OfContent & {
      readonly type: 'response.content_part.added' | 'response.content_part.done';
      readonly part: Part;
    })
  | (OfContent & {
      readonly type: 'response.output_text.delta';
      readonly delta: string;
      readonly logprobs: [];
    })
  | (OfContent & {
      readonly type: 'response.output_text.done';
      readonly text: string;
      readonly logprobs: [];
    })
  | (OfContent & { readonly type: 'response.refusal.delta'; readonly delta: string })
  | (OfContent & { readonly type: 'response.refusal.done'; readonly refusal: string })
  | (OfSummary & {
      readonly type:
        | 'response.reasoning_summary_part.added'
        | 'response.reasoning_summary_part.done';
      readonly part: SummaryText;
    })
  | (OfSummary & {
      readonly type: 'response.reasoning_summary_text.delta';
      readonly delta: string;
    })
  | (OfSummary & { readonly type: 'response.reasoning_summary_text.done'; readonly text: string })
  | (OfItem & { readonly type: 'response.function_call_arguments.delta'; readonly delta: string })
  | (OfItem & {
      readonly type: 'response.function_call_arguments.done';
      readonly arguments: string;
    })
  | (OfItem & { readonly type: 'response.custom_tool_call_input.delta'; readonly delta: string })
  | (OfItem & { readonly type: 'response.custom_tool_call_input.done'; readonly input: string })
  | {
      readonly type: 'error';
      readonly code: string | null;
      readonly message: string;
      readonly param: null;
      readonly error: {
        readonly message: string;
        readonly type: string;
        readonly param: null;
        readonly code: string | null;
      };
    };

/** What is written on Anthropic's Messages wire, as far as translations write it (Anthropic API reference, "Messages"). */

export interface CacheControl {
  readonly type: 'ephemeral';
  readonly ttl?: '5m' | '1h';
}

/** What may carry a mark for the cache; the mark goes where there are too many. */
export interface Markable {
  cache_control?: CacheControl;
}

export interface TextBlock extends Markable {
  readonly type: 'text';
  readonly text: string;
}

export interface ImageBlock extends Markable {
  readonly type: 'image';
  readonly source:
    | {
        readonly type: 'base64';
        readonly media_type: 'image/jpeg' | 'image/png' | 'image/gif' | 'image/webp';
        readonly data: string;
      }
    | { readonly type: 'url'; readonly url: string };
}

export interface DocumentBlock extends Markable {
  readonly type: 'document';
  readonly source:
    | { readonly type: 'base64'; readonly media_type: 'application/pdf'; readonly data: string }
    | { readonly type: 'text'; readonly media_type: 'text/plain'; readonly data: string }
    | { readonly type: 'url'; readonly url: string };
  readonly title?: string;
}

export interface ToolResultBlock extends Markable {
  readonly type: 'tool_result';
  readonly tool_use_id: string;
  readonly content?: string | (TextBlock | ImageBlock | DocumentBlock)[];
  readonly is_error?: boolean;
}

export interface ToolUseBlock extends Markable {
  readonly type: 'tool_use';
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
}

export type ThinkingBlock =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'redacted_thinking'; readonly data: string };

export type Block =
  | TextBlock
  | ImageBlock
  | DocumentBlock
  | ToolResultBlock
  | ToolUseBlock
  | ThinkingBlock;

export type Message =
  | { readonly role: 'user' | 'assistant'; readonly content: Block[] }
  /** An instruction in place (from Opus 4.8 on). */
  | { readonly role: 'system'; readonly content: TextBlock[] };

export interface Tool extends Markable {
  readonly name: string;
  readonly description?: string;
  readonly input_schema: { readonly type: 'object'; readonly [name: string]: unknown };
  readonly strict?: boolean;
}

export type ToolChoice =
  | { readonly type: 'auto' | 'any'; readonly disable_parallel_tool_use?: boolean }
  | { readonly type: 'tool'; readonly name: string; readonly disable_parallel_tool_use?: boolean }
  | { readonly type: 'none' };

export interface MessagesRequest {
  model: string;
  max_tokens: number;
  system?: TextBlock[];
  messages: Message[];
  tools?: Tool[];
  tool_choice?: ToolChoice;
  thinking?:
    | { readonly type: 'enabled'; readonly budget_tokens: number }
    | { readonly type: 'adaptive'; readonly display?: 'summarized' }
    | { readonly type: 'disabled' }
    | { readonly type: 'between_tools' };
  output_config?: {
    effort?: 'low' | 'medium' | 'high' | 'xhigh' | 'max';
    format?: { readonly type: 'json_schema'; readonly schema: { [name: string]: unknown } };
  };
  temperature?: number;
  top_p?: number;
  top_k?: number;
  stop_sequences?: string[];
  metadata?: { readonly user_id: string };
  service_tier?: 'auto' | 'standard_only';
  stream?: boolean;
}

export type StopReason = 'end_turn' | 'stop_sequence' | 'max_tokens' | 'tool_use' | 'refusal';

export interface OutputDetails {
  readonly thinking_tokens: number;
}

/** As it stands in a stream's last report. */
export interface DeltaUsage {
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly output_tokens: number;
  readonly output_tokens_details: OutputDetails | null;
  readonly server_tool_use: null;
}

export interface MessageUsage extends DeltaUsage {
  readonly cache_creation: null;
  readonly service_tier: 'standard' | 'priority' | null;
  readonly inference_geo: null;
  readonly speed: null;
}

export type AnswerBlock =
  | { readonly type: 'text'; readonly text: string; readonly citations: null }
  | {
      readonly type: 'tool_use';
      readonly id: string;
      readonly name: string;
      readonly input: unknown;
      readonly caller: { readonly type: 'direct' };
    }
  | ThinkingBlock;

export interface MessageAnswer {
  readonly id: string;
  readonly type: 'message';
  readonly role: 'assistant';
  readonly model: string;
  readonly content: AnswerBlock[];
  readonly stop_reason: StopReason | null;
  readonly stop_sequence: string | null;
  readonly stop_details: null;
  readonly container: null;
  readonly diagnostics: null;
  readonly usage: MessageUsage;
}

export type MessageEvent =
  | { readonly type: 'message_start'; readonly message: MessageAnswer }
  | {
      readonly type: 'content_block_start';
      readonly index: number;
      readonly content_block: AnswerBlock;
    }
  | {
      readonly type: 'content_block_delta';
      readonly index: number;
      readonly delta:
        | { readonly type: 'text_delta'; readonly text: string }
        | { readonly type: 'thinking_delta'; readonly thinking: string }
        | { readonly type: 'signature_delta'; readonly signature: string }
        | { readonly type: 'input_json_delta'; readonly partial_json: string };
    }
  | { readonly type: 'content_block_stop'; readonly index: number }
  | {
      readonly type: 'message_delta';
      readonly delta: {
        readonly stop_reason: StopReason;
        readonly stop_sequence: string | null;
        readonly stop_details: null;
        readonly container: null;
      };
      readonly usage: DeltaUsage;
    }
  | { readonly type: 'message_stop' };

/** Closed: a type of another vendor's is none of these to a typed client. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'billing_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'timeout_error'
  | 'overloaded_error'
  | 'api_error';

export interface MessageError {
  readonly type: 'error';
  readonly error: { readonly type: ErrorType; readonly message: string };
}

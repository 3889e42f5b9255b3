/** What is written on OpenAI's chat wire, as far as translations write it (OpenAI API reference, "Chat Completions"). */

import type { JsonObject } from '../json-values.ts';

export interface ChatText {
  readonly type: 'text';
  readonly text: string;
  readonly prompt_cache_breakpoint?: { readonly mode: 'explicit' };
}

export type ChatUserPart =
  | ChatText
  | {
      readonly type: 'image_url';
      readonly image_url: { readonly url: string; readonly detail?: 'low' | 'high' | 'auto' };
    }
  | {
      readonly type: 'input_audio';
      readonly input_audio: { readonly data: string; readonly format: 'wav' | 'mp3' };
    }
  | {
      readonly type: 'file';
      readonly file: { readonly filename: string; readonly file_data: string };
    };

/** A seal of Gemini's as Google's own OpenAI endpoint carries it: on the call it belongs to, else on the message. */
export interface GoogleContent {
  readonly google: { readonly thought_signature: string };
}

export interface ChatCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
  readonly extra_content?: GoogleContent;
}

export type ChatMessage =
  | { readonly role: 'system'; readonly content: string | ChatText[] }
  | { readonly role: 'user'; readonly content: string | ChatUserPart[] }
  | {
      readonly role: 'assistant';
      readonly content: string | null;
      /** DeepSeek's, Moonshot's and others': no field of OpenAI's. */
      readonly reasoning_content?: string;
      readonly tool_calls?: ChatCall[];
    }
  | { readonly role: 'tool'; readonly tool_call_id: string; readonly content: string };

export interface ChatTool {
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Record<string, unknown>;
    readonly strict?: boolean;
  };
}

export type ChatToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { readonly type: 'function'; readonly function: { readonly name: string } }
  | {
      readonly type: 'allowed_tools';
      readonly allowed_tools: {
        readonly mode: 'auto' | 'required';
        readonly tools: { readonly [name: string]: unknown }[];
      };
    };

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  max_tokens?: number;
  max_completion_tokens?: number;
  temperature?: number;
  top_p?: number;
  seed?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  stop?: string[];
  n?: number;
  tools?: ChatTool[];
  tool_choice?: ChatToolChoice;
  parallel_tool_calls?: boolean;
  response_format?:
    | { readonly type: 'json_object' }
    | {
        readonly type: 'json_schema';
        readonly json_schema: {
          readonly name: string;
          readonly schema: { [name: string]: unknown };
          readonly strict?: boolean;
        };
      };
  reasoning_effort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh';
  verbosity?: 'low' | 'medium' | 'high';
  service_tier?: 'auto' | 'default' | 'priority' | 'flex' | 'scale';
  user?: string;
  stream?: boolean;
  stream_options?: { readonly include_usage: boolean };
}

export type ChatFinish = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/** A thought of Anthropic's beside `reasoning_content`: the extension that LiteLLM, Envoy and others carry it by. */
export type ThinkingBlock =
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'redacted_thinking'; readonly data: string };

export interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: {
    readonly cached_tokens: number;
    readonly cache_write_tokens?: number;
  };
  readonly completion_tokens_details?: { readonly reasoning_tokens: number };
}

export interface ChatAnswer {
  readonly id: string;
  readonly object: 'chat.completion';
  readonly created: number;
  readonly model: string;
  readonly choices: {
    readonly index: number;
    readonly message: {
      readonly role: 'assistant';
      readonly content: string | null;
      readonly refusal: string | null;
      readonly reasoning_content?: string;
      readonly thinking_blocks?: ThinkingBlock[];
      readonly tool_calls?: ChatCall[];
      readonly extra_content?: GoogleContent;
    };
    readonly logprobs: null;
    readonly finish_reason: ChatFinish;
  }[];
  readonly usage: ChatUsage;
  readonly service_tier?: 'default' | 'priority';
}

export interface ChatDelta {
  readonly role?: 'assistant';
  readonly content?: string;
  readonly refusal?: string;
  readonly reasoning_content?: string;
  readonly thinking_blocks?: ThinkingBlock[];
  readonly tool_calls?: {
    readonly index: number;
    readonly id?: string;
    readonly type?: 'function';
    readonly function: { readonly name?: string; readonly arguments: string };
    readonly extra_content?: GoogleContent;
  }[];
  readonly extra_content?: GoogleContent;
}

export interface ChatChunk {
  readonly id: string;
  readonly object: 'chat.completion.chunk';
  readonly created: number;
  readonly model: string;
  readonly choices: {
    readonly index: number;
    readonly delta: ChatDelta;
    readonly logprobs: null;
    readonly finish_reason: ChatFinish | null;
  }[];
  readonly usage?: ChatUsage | null;
}

export interface ChatError {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: null;
    readonly code: string | null;
  };
}

/** JSON of a shape that its provider checks: a schema, mostly. */
export function asRecord(value: JsonObject): Record<string, unknown> {
  return { ...value };
}

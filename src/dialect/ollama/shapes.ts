/** What is written on Ollama's own wire, as far as translations write it (docs.ollama.com/api/chat). */

export interface OllamaCall {
  /** Taken and given from 0.12 on; before that it is passed over. */
  readonly id?: string;
  readonly function: {
    readonly name: string;
    /** An object, and no text of one. */
    readonly arguments: { [name: string]: unknown };
  };
}

export interface OllamaMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly thinking?: string;
  /** Bare base64: no data URL, and no place. */
  readonly images?: string[];
  readonly tool_calls?: OllamaCall[];
  /** Of a result: whose it is. */
  readonly tool_name?: string;
  readonly tool_call_id?: string;
}

export interface OllamaTool {
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: { readonly [name: string]: unknown };
  };
}

export interface OllamaOptions {
  num_predict?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  seed?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  stop?: string[];
}

export interface OllamaRequest {
  model: string;
  messages: OllamaMessage[];
  /** Always said: true is what is taken where it is not. */
  stream: boolean;
  tools?: OllamaTool[];
  format?: 'json' | { readonly [name: string]: unknown };
  think?: boolean | 'low' | 'medium' | 'high' | 'max';
  options?: OllamaOptions;
}

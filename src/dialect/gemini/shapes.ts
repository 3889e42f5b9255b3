/** What is written on Gemini's own wire, as far as translations write it (ai.google.dev/api/generate-content). */

import type { ThinkingLevel } from '../gemini-models.ts';

export interface Blob {
  readonly mimeType: string;
  readonly data: string;
}

/** A place that Google fetches from by itself. */
export interface FileData {
  readonly mimeType?: string;
  readonly fileUri: string;
}

export interface FunctionResponse {
  readonly name: string;
  readonly response: { readonly [key in 'output' | 'error']?: string };
  readonly parts?: { readonly inlineData?: Blob; readonly fileData?: FileData }[];
}

export interface GeminiPart {
  readonly text?: string;
  readonly inlineData?: Blob;
  readonly fileData?: FileData;
  readonly functionCall?: { readonly name: string; readonly args: Record<string, unknown> };
  readonly functionResponse?: FunctionResponse;
  readonly thoughtSignature?: string;
}

export interface GeminiContent {
  readonly role: 'user' | 'model';
  readonly parts: GeminiPart[];
}

export interface FunctionDeclaration {
  readonly name: string;
  readonly description?: string;
  readonly parametersJsonSchema?: Record<string, unknown>;
}

export interface FunctionCalling {
  readonly mode: 'NONE' | 'ANY' | 'VALIDATED';
  readonly allowedFunctionNames?: string[];
}

export interface GenerationConfig {
  candidateCount?: number;
  maxOutputTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  seed?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  stopSequences?: string[];
  responseMimeType?: 'application/json';
  responseJsonSchema?: Record<string, unknown>;
  thinkingConfig?: {
    readonly thinkingBudget?: number;
    readonly thinkingLevel?: ThinkingLevel;
    readonly includeThoughts?: boolean;
  };
}

/** The model, and whether it streams, stand in the path. */
export interface GeminiRequest {
  contents: GeminiContent[];
  systemInstruction?: { readonly parts: GeminiPart[] };
  generationConfig?: GenerationConfig;
  tools?: { readonly functionDeclarations: FunctionDeclaration[] }[];
  toolConfig?: { readonly functionCallingConfig: FunctionCalling };
  serviceTier?: 'flex' | 'priority';
}

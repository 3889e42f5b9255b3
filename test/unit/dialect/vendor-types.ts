/**
 * What translations write is what the vendors' own types allow: held by the compiler, nothing of it runs. What a vendor has
 * no type for (other vendors' extensions) is told apart here.
 */

import type Anthropic from '@anthropic-ai/sdk';
import type * as Google from '@google/genai';
import type OpenAI from 'openai';
import type * as Messages from '../../../src/dialect/anthropic-messages/shapes.ts';
import type * as Gemini from '../../../src/dialect/gemini/shapes.ts';
import type * as Chat from '../../../src/dialect/openai-chat/shapes.ts';
import type * as Responses from '../../../src/dialect/openai-responses/shapes.ts';

type Fits<Written extends Vendors, Vendors> = Written;

export type Checked = [
  Fits<Chat.ChatRequest, OpenAI.ChatCompletionCreateParams>,
  Fits<Chat.ChatAnswer, OpenAI.ChatCompletion>,
  Fits<Chat.ChatChunk, OpenAI.ChatCompletionChunk>,
  Fits<Responses.ResponseAnswer, Told<OpenAI.Responses.Response>>,
  Fits<Responses.ResponseUsage, OpenAI.Responses.ResponseUsage>,
  Fits<Numbered<Responses.ResponseEvent>, Opened<OpenAI.Responses.ResponseStreamEvent>>,
  Fits<Messages.MessagesRequest, Anthropic.MessageCreateParams>,
  Fits<Messages.MessageAnswer, Anthropic.Message>,
  Fits<Messages.MessageEvent, Anthropic.RawMessageStreamEvent>,
  Fits<Messages.MessageError, Anthropic.ErrorResponse | MessageErrorWithoutId>,
  Fits<Gemini.GeminiRequest, Spelt<GenerateContentBody>>,
];

type Only<Fields extends Named, Named> = Fields;

/** Nearly every field may be left out, so one that is misspelt would fit as well: what no type of the vendor has is named here. */
export type Extensions = [
  Only<Unknown<Chat.ChatRequest, OpenAI.ChatCompletionCreateParams>, Thoughts>,
  Only<Unknown<Chat.ChatAnswer, OpenAI.ChatCompletion>, Thoughts>,
  Only<Unknown<Chat.ChatChunk, OpenAI.ChatCompletionChunk>, Thoughts>,
  Only<Unknown<Responses.ResponseAnswer, OpenAI.Responses.Response>, 'store'>,
  Only<Unknown<Responses.ResponseUsage, OpenAI.Responses.ResponseUsage>, never>,
  Only<
    Unknown<Numbered<Responses.ResponseEvent>, OpenAI.Responses.ResponseStreamEvent>,
    'store' | Inside
  >,
  Only<Unknown<Messages.MessagesRequest, Anthropic.MessageCreateParams>, OfEarlierModels>,
  Only<Unknown<Messages.MessageAnswer, Anthropic.Message>, never>,
  Only<Unknown<Messages.MessageEvent, Anthropic.RawMessageStreamEvent>, never>,
  Only<Unknown<Messages.MessageError, Anthropic.ErrorResponse>, never>,
  Only<Unknown<Gemini.GeminiRequest, GenerateContentBody>, never>,
];

/** OpenAI sends an error inside its error event, and documents its members alone: its own SDK looks for both. */
type Inside = 'error';
/** Of Gemini's, DeepSeek's and LiteLLM's chats. */
type Thoughts = 'extra_content' | 'reasoning_content' | 'thinking_blocks';
/** Models before Claude Opus 4.7 take them; the vendor's types are those of later ones. */
type OfEarlierModels = 'temperature' | 'top_k' | 'top_p';

/** Names of fields, however deep, that no type of the vendor has in that place. */
type Unknown<Written, Vendors> = Written extends readonly (infer One)[]
  ? Unknown<One, Element<Vendors>>
  : Written extends object
    ? unknown extends Vendors
      ? never
      : {
          [Key in keyof Written]-?: Key extends KeyOf<Vendors>
            ? Unknown<NonNullable<Written[Key]>, FieldOf<Vendors, Key>>
            : Key;
        }[keyof Written]
    : never;
type Element<List> = List extends readonly (infer One)[] ? One : never;
type KeyOf<Union> = Union extends unknown ? keyof Union : never;
type FieldOf<Union, Key> = Union extends unknown
  ? Key extends keyof Union
    ? Union[Key]
    : never
  : never;

/** What its SDK makes of its parameters (ai.google.dev/api/generate-content): settings stand in a field of their own. */
interface GenerateContentBody
  extends Pick<Google.GenerateContentConfig, 'serviceTier' | 'toolConfig'> {
  contents: Google.Content[];
  systemInstruction?: Google.Content;
  generationConfig?: Google.GenerationConfig;
  tools?: Google.Tool[];
}

/** Its enumerations as they are on the wire. */
type Spelt<Sdk> = Sdk extends string
  ? `${Sdk}`
  : Sdk extends readonly (infer One)[]
    ? Spelt<One>[]
    : Sdk extends object
      ? { [Key in keyof Sdk]: Spelt<Sdk[Key]> }
      : Sdk;

/** A gateway has no request id of Anthropic's to tell. */
type MessageErrorWithoutId = Omit<Anthropic.ErrorResponse, 'request_id'>;

/** Without what its SDK makes of it, and what is the caller's own, told again; its usage is null before its end. */
type Told<Answer extends OpenAI.Responses.Response> = Pick<
  Answer,
  Exclude<keyof Answer, 'output_text' | 'usage' | Echoed>
>;
type Echoed =
  | 'instructions'
  | 'metadata'
  | 'parallel_tool_calls'
  | 'temperature'
  | 'tool_choice'
  | 'tools'
  | 'top_p';

type Numbered<Event> = Event & { readonly sequence_number: number };
type Opened<Event> = Event extends { readonly response: OpenAI.Responses.Response }
  ? Omit<Event, 'response'> & { readonly response: Told<OpenAI.Responses.Response> }
  : Event;

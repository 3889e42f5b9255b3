/**
 * What translations write is what the vendors' own types allow: held by the compiler, nothing of it runs. What a vendor has
 * no type for (other vendors' extensions) is told apart here.
 */

import type Anthropic from '@anthropic-ai/sdk';
import type OpenAI from 'openai';
import type * as Messages from '../../../src/dialect/anthropic-messages/shapes.ts';
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
];

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

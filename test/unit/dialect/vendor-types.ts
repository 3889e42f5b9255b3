/**
 * What translations write is what the vendors' own types allow: held by the compiler, nothing of it runs. What a vendor has
 * no type for (other vendors' extensions) is told apart here.
 */

import type Anthropic from '@anthropic-ai/sdk';
import type OpenAI from 'openai';
import type * as Messages from '../../../src/dialect/anthropic-messages/shapes.ts';
import type * as Chat from '../../../src/dialect/openai-chat/shapes.ts';

type Fits<Written extends Vendors, Vendors> = Written;

export type Checked = [
  Fits<Chat.ChatRequest, OpenAI.ChatCompletionCreateParams>,
  Fits<Chat.ChatAnswer, OpenAI.ChatCompletion>,
  Fits<Chat.ChatChunk, OpenAI.ChatCompletionChunk>,
  Fits<Messages.MessagesRequest, Anthropic.MessageCreateParams>,
  Fits<Messages.MessageAnswer, Anthropic.Message>,
  Fits<Messages.MessageEvent, Anthropic.RawMessageStreamEvent>,
  Fits<Messages.MessageError, Anthropic.ErrorResponse | MessageErrorWithoutId>,
];

/** A gateway has no request id of Anthropic's to tell. */
type MessageErrorWithoutId = Omit<Anthropic.ErrorResponse, 'request_id'>;

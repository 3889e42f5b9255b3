import { type Asked, CREATED_S, idFrom } from './asked.ts';
import { openaiUsage } from './chat-usage.ts';
import { objectAt } from './json.ts';
import { dataEvent, type EventsReply, jsonReply, type Reply } from './reply.ts';
import { type Said, say } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Answers POST …/completions, the legacy text API, in OpenAI's shape whatever the vendor. */
export function answerTextCompletion(asked: Asked): Reply {
  if (!('prompt' in asked.body)) {
    return errorReply(asked.voice, 400, "Missing required parameter: 'prompt'.");
  }
  const said = say(asked.body);
  if (asked.body['stream'] === true) return textStream(asked, said);
  const choice = choiceJson(JSON.stringify(said.text), '"stop"');
  return jsonReply(chunkJson(asked, choice, `,"usage":${openaiUsage(said.counts)}`), said.counts);
}

function choiceJson(text: string, finish: string): string {
  return `{"text":${text},"index":0,"logprobs":null,"finish_reason":${finish}}`;
}

function chunkJson(asked: Asked, choices: string, tail: string): string {
  return `{"id":"${idFrom(asked.seed, 'cmpl-')}","object":"text_completion","created":${CREATED_S},"choices":[${choices}],"model":${JSON.stringify(asked.model)}${tail}}`;
}

function textStream(asked: Asked, said: Said): EventsReply {
  const includeUsage = objectAt(asked.body, 'stream_options')['include_usage'] === true;
  const tail = includeUsage ? ',"usage":null' : '';
  const events = said.pieces.map((piece) =>
    dataEvent(chunkJson(asked, choiceJson(JSON.stringify(piece), 'null'), tail)),
  );
  events.push(dataEvent(chunkJson(asked, choiceJson('""', '"stop"'), tail)));
  const usage = `,"usage":${openaiUsage(said.counts)}`;
  const usageAt = includeUsage ? events.push(dataEvent(chunkJson(asked, '', usage))) - 1 : -1;
  const markerAt = events.push(dataEvent('[DONE]')) - 1;
  const failure = streamFailure(asked.voice);
  return { kind: 'events', events, contentAt: 0, usageAt, markerAt, failure, tokens: said.counts };
}

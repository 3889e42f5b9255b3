import { type Asked, CREATED_S } from './asked.ts';
import { jsonReply, type Reply } from './reply.ts';

/** Models listed; any other name is answered as well. */
const LISTED_MODELS = [
  'gpt-mock',
  'gpt-mock-mini',
  'mock-reasoning',
  'claude-mock',
  'text-embedding-mock',
] as const satisfies readonly string[];

const CREATED_AT = new Date(CREATED_S * 1_000).toISOString();

function modelObject(asked: Asked, id: string): object {
  return asked.voice.dialect === 'anthropic'
    ? { type: 'model', id, display_name: id, created_at: CREATED_AT }
    : { id, object: 'model', created: CREATED_S, owned_by: 'mock' };
}

/** Answers GET …/models in the caller's dialect. */
export function answerModels(asked: Asked): Reply {
  const data = LISTED_MODELS.map((id) => modelObject(asked, id));
  if (asked.voice.dialect === 'openai') return jsonReply(JSON.stringify({ object: 'list', data }));
  const page = { has_more: false, first_id: LISTED_MODELS[0], last_id: LISTED_MODELS.at(-1) };
  return jsonReply(JSON.stringify({ data, ...page }));
}

/** Answers GET …/models/{id}: every id exists. */
export function answerModel(asked: Asked): Reply {
  return jsonReply(JSON.stringify(modelObject(asked, asked.model)));
}

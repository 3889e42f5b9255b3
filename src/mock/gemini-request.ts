import { isObject, type JsonObject, listAt, numberAt, objectAt, stringAt } from './json.ts';

/** What a request on Gemini's own wire asks, in the words that the other wires have for it. */
export function asChat(body: JsonObject, model: string): JsonObject {
  const config = objectAt(body, 'generationConfig');
  const limit = numberAt(config, 'maxOutputTokens');
  const format = formatOf(config);
  const effort = effortOf(objectAt(config, 'thinkingConfig'));
  return {
    model,
    system: body['systemInstruction'],
    messages: listAt(body, 'contents').map((content) => (isObject(content) ? turn(content) : {})),
    tools: listAt(body, 'tools').flatMap((tool) =>
      isObject(tool) ? listAt(tool, 'functionDeclarations').map(declared) : [],
    ),
    tool_choice: choiceOf(objectAt(objectAt(body, 'toolConfig'), 'functionCallingConfig')),
    ...(limit === null ? {} : { max_tokens: limit }),
    ...(format === null ? {} : { response_format: format }),
    ...(effort === null ? {} : { reasoning_effort: effort }),
  };
}

function turn(content: JsonObject): JsonObject {
  const role = content['role'] === 'model' ? 'assistant' : 'user';
  return { role, content: listAt(content, 'parts').map(part) };
}

function part(value: unknown): JsonObject {
  if (!isObject(value)) return {};
  const picture = objectAt(value, 'inlineData');
  const type = stringAt(picture, 'mimeType');
  if (type !== null) {
    const url = `data:${type};base64,${stringAt(picture, 'data') ?? ''}`;
    return { type: 'image_url', image_url: { url } };
  }
  if ('functionResponse' in value) return { type: 'tool_result', content: value };
  return { type: 'text', text: stringAt(value, 'text') ?? '' };
}

function declared(value: unknown): JsonObject {
  const row = isObject(value) ? value : {};
  const { parametersJsonSchema, parameters, ...rest } = row;
  return {
    type: 'function',
    function: { ...rest, parameters: parametersJsonSchema ?? parameters },
  };
}

function choiceOf(calling: JsonObject): unknown {
  const mode = stringAt(calling, 'mode');
  const [name] = listAt(calling, 'allowedFunctionNames');
  if (mode === 'NONE') return 'none';
  return name === undefined ? 'auto' : { type: 'function', function: { name } };
}

function formatOf(config: JsonObject): JsonObject | null {
  if (config['responseMimeType'] !== 'application/json') return null;
  const schema = config['responseJsonSchema'] ?? config['responseSchema'];
  return schema === undefined
    ? { type: 'json_object' }
    : { type: 'json_schema', json_schema: { schema } };
}

function effortOf(thinking: JsonObject): string | null {
  if (Object.keys(thinking).length === 0) return null;
  return thinking['thinkingBudget'] === 0 ? 'none' : 'high';
}

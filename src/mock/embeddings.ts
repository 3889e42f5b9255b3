import type { Asked } from './asked.ts';
import { listAt, numberAt } from './json.ts';
import { jsonReply, type Reply } from './reply.ts';
import { countsOf } from './said.ts';
import { errorReply } from './vendor-errors.ts';

/** Floats of a vector when the request names no `dimensions`, those of OpenAI's small model. */
const DEFAULT_DIMENSIONS = 1_536;
const MAX_DIMENSIONS = 4_096;
/** Inputs of one request at most, OpenAI's own limit. */
const MAX_INPUTS = 2_048;

/** Answers POST …/embeddings: one unit vector per input, a pure function of the input's text. */
export function answerEmbeddings(asked: Asked): Reply {
  if (!('input' in asked.body)) {
    return errorReply(asked.voice, 400, "Missing required parameter: 'input'.");
  }
  const inputs = inputsOf(asked);
  if (inputs.length > MAX_INPUTS) {
    return errorReply(asked.voice, 400, `'input' holds more than ${MAX_INPUTS} items.`);
  }
  const dimensions = Math.min(
    Math.max(Math.trunc(numberAt(asked.body, 'dimensions') ?? DEFAULT_DIMENSIONS), 1),
    MAX_DIMENSIONS,
  );
  const packed = asked.body['encoding_format'] === 'base64';
  const rows = inputs.map((input, index) => {
    const floats = vectorOf(input, dimensions);
    const embedding = packed
      ? `"${Buffer.from(floats.buffer).toString('base64')}"`
      : `[${floats.join(',')}]`;
    return `{"object":"embedding","index":${index},"embedding":${embedding}}`;
  });
  const { input } = countsOf(asked.body, 0, 0);
  const usage = `{"prompt_tokens":${input},"total_tokens":${input}}`;
  const model = JSON.stringify(asked.model);
  return jsonReply(
    `{"object":"list","data":[${rows.join(',')}],"model":${model},"usage":${usage}}`,
    { input, output: 0 },
  );
}

function inputsOf(asked: Asked): readonly string[] {
  const list = listAt(asked.body, 'input');
  if (list.length === 0) return [String(asked.body['input'])];
  // A list of numbers is one input of token ids.
  if (typeof list[0] === 'number') return [list.join(' ')];
  return list.map(String);
}

/** A unit vector: a pure function of its text. */
export function vectorOf(input: string, dimensions: number): Float32Array<ArrayBuffer> {
  const floats = new Float32Array(dimensions);
  let state = 2_166_136_261;
  for (let at = 0; at < input.length; at++) {
    state = Math.imul(state ^ input.charCodeAt(at), 16_777_619);
  }
  let squares = 0;
  for (let at = 0; at < dimensions; at++) {
    state = Math.imul(state ^ (state >>> 15), 2_246_822_519) + 1;
    const float = (state | 0) / 2_147_483_648;
    floats[at] = float;
    squares += float * float;
  }
  const scale = 1 / Math.sqrt(squares || 1);
  return floats.map((float) => float * scale);
}

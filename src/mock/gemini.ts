import { type Asked, idFrom } from './asked.ts';
import { asChat } from './gemini-request.ts';
import { isObject, type JsonObject, listAt, objectAt } from './json.ts';
import { dataEvent, jsonReply, type Reply, type Tokens } from './reply.ts';
import { countsOf, type Said, say } from './said.ts';
import { errorReply, streamFailure } from './vendor-errors.ts';

/** Answers POST …:generateContent, Gemini's own wire. */
export function answerGenerate(asked: Asked): Reply {
  const refused = refusalOf(asked);
  if (refused !== null) return refused;
  const answer = new GeminiAnswer(asked);
  return jsonReply(JSON.stringify(answer.whole), answer.tokens);
}

/** Answers POST …:streamGenerateContent: events with `alt=sse`, else one JSON array of them. */
export function answerStreamGenerate(asked: Asked): Reply {
  const refused = refusalOf(asked);
  if (refused !== null) return refused;
  const answer = new GeminiAnswer(asked);
  const events = answer.events.map((event) => JSON.stringify(event));
  if (new URLSearchParams(asked.query).get('alt') !== 'sse')
    return jsonReply(`[${events.join(',\r\n')}]`, answer.tokens);
  return {
    kind: 'events',
    events: events.map((event) => dataEvent(event, '\r\n')),
    // It has no opening: its first event says something.
    contentAt: 0,
    usageAt: events.length - 1,
    markerAt: -1,
    failure: streamFailure(asked.voice),
    tokens: answer.tokens,
  };
}

/** Answers POST …:countTokens: the count alone, billing nothing. */
export function answerGeminiCount(asked: Asked): Reply {
  // Either its contents alone, or the request that they are of.
  const { generateContentRequest: request } = asked.body;
  const { input } = countsOf(asChat(isObject(request) ? request : asked.body, asked.model), 0, 0);
  const details = [{ modality: 'TEXT', tokenCount: input }];
  return jsonReply(JSON.stringify({ totalTokens: input, promptTokensDetails: details }));
}

/** From here on a step whose first call has no signature is a 400 (ai.google.dev/gemini-api/docs/thought-signatures). */
const WANTS_SIGNATURES = /gemini-3/;

function refusalOf({ body, model, voice }: Asked): Reply | null {
  const contents = listAt(body, 'contents');
  if (contents.length === 0) return errorReply(voice, 400, '* contents is not specified');
  if (WANTS_SIGNATURES.test(model) && contents.some(isUnsigned))
    return errorReply(voice, 400, 'Function call is missing a thought_signature.');
  return null;
}

function isUnsigned(content: unknown): boolean {
  const parts = isObject(content) ? listAt(content, 'parts') : [];
  const call = parts.find((part) => isObject(part) && 'functionCall' in part);
  return isObject(call) && !('thoughtSignature' in call);
}

/** One answer, as the parts that Gemini writes. */
class GeminiAnswer {
  readonly #asked: Asked;
  readonly #said: Said;
  /** Of the first call, or of a last part that says nothing else. */
  readonly #signature: string;

  constructor(asked: Asked) {
    this.#asked = asked;
    this.#said = say(asChat(asked.body, asked.model));
    this.#signature = Buffer.from(asked.seed, 'hex').toString('base64');
  }

  /** Thoughts are counted beside the candidates, and billed like them. */
  get tokens(): Tokens {
    const { input, output } = this.#said.counts;
    return { input, output };
  }

  get whole(): JsonObject {
    const { thought, text, tools } = this.#said;
    const thoughts = this.#showsThoughts ? [{ text: thought.join(''), thought: true }] : [];
    const texts = tools.length === 0 ? [{ text }] : [];
    return this.#event([...thoughts, ...texts, ...this.#lastParts], true);
  }

  get events(): readonly JsonObject[] {
    const { thought, pieces, tools } = this.#said;
    const thoughts = this.#showsThoughts ? thought.map((text) => ({ text, thought: true })) : [];
    const texts = tools.length === 0 ? pieces.map((text) => ({ text })) : [];
    return [
      ...[...thoughts, ...texts].map((part) => this.#event([part], false)),
      this.#event(this.#lastParts, true),
    ];
  }

  get #showsThoughts(): boolean {
    const config = objectAt(objectAt(this.#asked.body, 'generationConfig'), 'thinkingConfig');
    return config['includeThoughts'] === true && this.#said.thought.length > 0;
  }

  get #lastParts(): readonly JsonObject[] {
    const { tools, thought } = this.#said;
    const isSigned = thought.length > 0 || WANTS_SIGNATURES.test(this.#asked.model);
    const signature = isSigned ? { thoughtSignature: this.#signature } : {};
    if (tools.length === 0) return isSigned ? [{ text: '', ...signature }] : [];
    // Of parallel calls the first one alone is signed.
    return tools.map(({ name, arguments: args }, at) => ({
      functionCall: { name, args: JSON.parse(args) },
      ...(at === 0 ? signature : {}),
    }));
  }

  /** What it cost is in every event; of what is not over yet, without what was written. */
  #event(parts: readonly JsonObject[], isLast: boolean): JsonObject {
    const { input, cached, output, reasoning } = this.#said.counts;
    const finish = isLast ? { finishReason: 'STOP' } : {};
    const written = {
      candidatesTokenCount: output - reasoning,
      ...(reasoning > 0 ? { thoughtsTokenCount: reasoning } : {}),
    };
    return {
      candidates: [{ content: { parts, role: 'model' }, ...finish, index: 0 }],
      usageMetadata: {
        promptTokenCount: input,
        ...(cached > 0 ? { cachedContentTokenCount: cached } : {}),
        ...(isLast ? written : {}),
        totalTokenCount: isLast ? input + output : input,
        promptTokensDetails: [{ modality: 'TEXT', tokenCount: input }],
      },
      modelVersion: this.#asked.model,
      responseId: idFrom(this.#asked.seed, '', 22),
    };
  }
}

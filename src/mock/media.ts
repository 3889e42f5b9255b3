import { type Asked, askedBytes, CREATED_S } from './asked.ts';
import { patternBlock } from './pattern.ts';
import { jsonReply, type Reply } from './reply.ts';

/** Bytes of speech by default: about four seconds of MP3 at 128 kbit/s. */
const SPEECH_BYTES = 65_536;
/** Bytes of speech at most, enough for tests that move 1 GiB. */
const MAX_SPEECH_BYTES = 2_147_483_648;
/** Characters of base64 of a normal image and of one of `quality: "high"`, the size that wants a proxy that streams. */
const IMAGE_CHARACTERS = 1_024;
const HIGH_IMAGE_CHARACTERS = 5_000_000;
const MAX_IMAGE_CHARACTERS = 67_108_864;

/** Answers POST …/audio/speech: bytes without a length, each of them known (`patternByte`). */
export function answerSpeech(asked: Asked): Reply {
  const bytes = askedBytes(asked, SPEECH_BYTES, MAX_SPEECH_BYTES);
  return { kind: 'pattern', contentType: 'audio/mpeg', bytes };
}

/** Answers POST …/images/generations with base64, 5 MB of it when the quality asked for is high. */
export function answerImage(asked: Asked): Reply {
  const high = asked.body['quality'] === 'high' || asked.body['quality'] === 'hd';
  const usual = high ? HIGH_IMAGE_CHARACTERS : IMAGE_CHARACTERS;
  const wanted = askedBytes(asked, usual, MAX_IMAGE_CHARACTERS);
  const image = patternBlock(Math.ceil(wanted / 4) * 3).toString('base64');
  return jsonReply(`{"created":${CREATED_S},"data":[{"b64_json":"${image}"}]}`);
}

/**
 * Questions that are answered like a model would, for whoever looks at the mock with their own eyes: the demo, and the
 * "Hello" of every first request. Everything else is echoed, so that a test knows what it gets.
 */
const ANSWERS: ReadonlyMap<string, string> = new Map([
  [
    'Hello',
    'Hello! I am the mock provider: I take any key, cost nothing, and give equal answers to equal questions.',
  ],
  [
    'What is a token?',
    'A token is a piece of text, often a word or a part of one. Models read and write tokens one at a time, which is why an answer can be shown while it is being written, and why you pay by the token.',
  ],
  [
    'Why stream an answer?',
    'Because the first word is there in a moment, while the last one may take a minute. Whoever reads along waits for nothing, and can stop what goes in a wrong direction before it is paid for.',
  ],
  [
    'Who pays for this answer?',
    'Whoever holds the virtual key that asked. The gateway put the real key in, and wrote down how many tokens the provider counted.',
  ],
  [
    'Tell me a story.',
    'Once upon a time a river wanted to know where it ended. It asked the rain, which had come from there, and the rain said: you do not end, you are only handed on. So the river went on, and each drop of it arrived.',
  ],
]);

/** A prompt that is answered with a call of each tool at once, where others are answered with one of the first. */
export const EVERY_TOOL = 'Call every tool.';

/** One piece is one token, as in the echo. */
const PIECE = /\s*\S+/gu;

/**
 * @param most pieces at most; null: all of the answer
 * @returns the answer's pieces; null where the prompt is none of the questions
 */
export function writtenAnswer(prompt: string, most: number | null): readonly string[] | null {
  const pieces = ANSWERS.get(prompt)?.match(PIECE);
  return pieces?.slice(0, most === null ? pieces.length : Math.max(Math.trunc(most), 1)) ?? null;
}

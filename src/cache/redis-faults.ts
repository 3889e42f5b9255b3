/**
 * What may become of a question to a Redis, or of an answer that is sent there.
 * - `away`, `late`: a miss, because it was not connected or rested; because it did not answer in time
 * - `error`: a question or an answer that it refused; `full`: an answer for which it had no memory
 * - `corrupt`: a value that is none of ours
 * - `dropped`: an answer that was not sent, because too much was on its way or it was not asked
 */
export const REDIS_FAULTS = ['away', 'late', 'error', 'full', 'corrupt', 'dropped'] as const;
export type RedisFault = (typeof REDIS_FAULTS)[number];

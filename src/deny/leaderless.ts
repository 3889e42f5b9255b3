/**
 * Questions to a cluster that may have no leader just then: it never answers them, and only one that is asked later finds the
 * new leader. The library asks once and waits, so nothing is left to it that nobody would ask again.
 */

import {
  ErrorCode,
  type JetStreamOptions,
  type KV,
  type NatsConnection,
  NatsError,
  type StreamInfo,
} from 'nats';

/** How often a question without an answer is asked again, in milliseconds. An answer to an earlier one counts as well. */
export const ASK_AGAIN_MS = 400;

/** "JetStream system temporarily unavailable" (nats-server, server/errors.json). */
const NO_LEADER = 10_008;

/** "stream not found" (nats-server, server/errors.json). */
const NO_STREAM = 10_059;

/** @returns how JetStream is opened without the library's own first question, whether it is there at all: the next one tells */
export function unasked(timeoutMs: number): JetStreamOptions & { readonly checkAPI: false } {
  return { timeout: timeoutMs, checkAPI: false };
}

/** Whether nobody has said anything, or a cluster that it has no leader: then it is asked again. */
export function isUnanswered(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  return error.code === ErrorCode.Timeout || error.api_error?.err_code === NO_LEADER;
}

/**
 * Asks, and asks again until one of the questions is answered.
 * @throws Error of the last answer that was none, or that says that there will be none
 */
export async function askedAgain<Answer>(
  connection: NatsConnection,
  ask: () => Promise<Answer>,
  everyMs: number,
  limitMs: number,
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    let refusal: unknown = NatsError.errorForCode(ErrorCode.Timeout);
    const end = (): void => {
      clearInterval(again);
      clearTimeout(limit);
    };
    const giveUp = (): void => {
      end();
      reject(refusal);
    };
    const put = (): void => {
      ask().then(
        (answer) => {
          end();
          resolve(answer);
        },
        (error: unknown) => {
          refusal = error;
          if (!isUnanswered(error) || connection.isClosed()) giveUp();
        },
      );
    };
    const again = setInterval(put, everyMs);
    const limit = setTimeout(giveUp, limitMs);
    put();
  });
}

/**
 * A bucket on a connection that stands, made where there is none.
 * @param keptMs how long a new one keeps what nobody writes again; 0: for ever
 * @param limitMs how long it is asked for
 * @throws Error of the library
 */
export async function openBucket(
  connection: NatsConnection,
  bucket: string,
  keptMs: number,
  limitMs: number,
): Promise<KV> {
  const asked = unasked(limitMs);
  const manager = await connection.jetstreamManager(asked);
  const info = (): Promise<StreamInfo | null> =>
    manager.streams.info(`KV_${bucket}`).catch(nullWhenMissing);
  const found = await askedAgain(connection, info, ASK_AGAIN_MS, limitMs);
  return await connection
    .jetstream(asked)
    .views.kv(
      bucket,
      found === null
        ? { history: 1, ttl: keptMs }
        : { bindOnly: true, allow_direct: found.config.allow_direct },
    );
}

function nullWhenMissing(error: unknown): null {
  if (error instanceof NatsError && error.api_error?.err_code === NO_STREAM) return null;
  throw error;
}

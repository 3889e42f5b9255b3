/** What the SDK tests do with a call of whichever SDK. */

/** The error a call ends in; a call that succeeds fails the test. */
export async function failureOf(call: PromiseLike<unknown>): Promise<unknown> {
  const failure = await Promise.resolve(call).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  if (failure === null) throw new Error('The call succeeded.');
  return failure.error;
}

/** Reads a stream to its end; what came before an error is kept in `seen`. */
export async function drain<Event>(
  stream: PromiseLike<AsyncIterable<Event>>,
  seen: Event[] = [],
): Promise<Event[]> {
  for await (const event of await stream) seen.push(event);
  return seen;
}

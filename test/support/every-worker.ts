import type { Gateway } from './gateway.ts';
import { CHAT, post, RawClient, type RawResponse } from './raw-client.ts';

/** Enough fresh connections that both workers of a gateway get some: all but 1 time in 16,384. */
const ASKERS = 15;

/** One request on a connection of its own. */
export async function ask(gateway: Gateway, key: string, target = CHAT): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(post(key, target));
  const response = await client.response();
  client.close();
  return response;
}

/** The statuses that a key gets from both workers, each once. */
export async function statuses(
  gateway: Gateway,
  key: string,
  target = CHAT,
): Promise<readonly number[]> {
  const asked = Array.from({ length: ASKERS }, () => ask(gateway, key, target));
  return [...new Set((await Promise.all(asked)).map(({ status }) => status))];
}

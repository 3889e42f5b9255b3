/**
 * The fields that OpenAI's SDK for Node sends with a chat completion, as the front end hands them over: lower-case
 * names, in the order of the wire.
 */
export function sdkFields(key: string): readonly string[] {
  return [
    ...['host', 'ai.internal:8080', 'connection', 'keep-alive'],
    ...['accept', 'application/json', 'content-type', 'application/json'],
    ...['user-agent', 'OpenAI/JS 7.55.0', 'authorization', `Bearer ${key}`],
    ...['x-stainless-retry-count', '0', 'x-stainless-lang', 'js'],
    ...['x-stainless-package-version', '7.55.0', 'x-stainless-os', 'Linux'],
    ...['x-stainless-arch', 'x64', 'x-stainless-runtime', 'node'],
    ...['x-stainless-runtime-version', 'v22.23.3', 'accept-language', '*'],
    ...['sec-fetch-mode', 'cors', 'accept-encoding', 'gzip, deflate', 'content-length', '1026'],
  ];
}

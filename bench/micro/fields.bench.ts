// What the fields of a message cost on their way through: npm run bench:fields
import { PoolKey } from '../../src/providers/pool-keys.ts';
import { Secret } from '../../src/secret.ts';
import { requestHead } from '../../src/upstream/outgoing-head.ts';
import type { UpstreamRequest } from '../../src/upstream/transport.ts';
import { requestFraming } from '../../src/wire/request-framing.ts';
import { responseHead } from '../../src/wire/response-head.ts';
import { sdkFields } from './sdk-fields.ts';
import { taskTable } from './task-cost.ts';

const HOST = 'api.openai.com';
const TARGET = '/v1/chat/completions';
const request = sdkFields('sk-own');
const poolKey = new PoolKey('bearer', new Secret('sk-pool'));
const byo: UpstreamRequest = {
  method: 'POST',
  target: TARGET,
  fields: request,
  poolKey: null,
  owner: '42/99',
  coding: 'sized',
  contentLength: 1_026,
};
const managed: UpstreamRequest = { ...byo, poolKey };

/** As api.openai.com answers a chat completion. */
const response = [
  ...['Date', 'Sat, 21 Nov 2026 08:14:33 GMT', 'Content-Type', 'application/json'],
  ...['Content-Length', '711', 'Connection', 'keep-alive'],
  ...['access-control-expose-headers', 'X-Request-ID', 'openai-organization', 'acme'],
  ...['openai-processing-ms', '2411', 'openai-version', '2020-10-01'],
  ...['x-envoy-upstream-service-time', '2436', 'x-ratelimit-limit-requests', '10000'],
  ...['x-ratelimit-limit-tokens', '10000000', 'x-ratelimit-remaining-requests', '9999'],
  ...['x-ratelimit-remaining-tokens', '9999729', 'x-ratelimit-reset-requests', '6ms'],
  ...['x-ratelimit-reset-tokens', '1ms', 'x-request-id', 'req_6f0e7b2a91a84c1e'],
  ...['strict-transport-security', 'max-age=31536000; includeSubDomains; preload'],
  ...['cf-cache-status', 'DYNAMIC', 'Set-Cookie', '__cf_bm=0123456789abcdef; path=/; HttpOnly'],
  ...[
    'X-Content-Type-Options',
    'nosniff',
    'Server',
    'cloudflare',
    'CF-RAY',
    '8e6d5c4b3a291807-FRA',
  ],
  ...['alt-svc', 'h3=":443"; ma=86400'],
];
const audience = { isManaged: true, ownsCors: false, asksForStream: false, followable: () => null };
const bare = ['content-type', 'application/json', 'content-length', '711'];

await taskTable(
  'fields',
  `Fields of a message: ${request.length / 2} in a request, ${response.length / 2} in a response`,
  [
    { name: 'request framing', run: () => requestFraming('POST', request) },
    {
      name: "request head, caller's own key",
      run: () => requestHead(byo, HOST),
    },
    {
      name: 'request head, managed',
      run: () => requestHead(managed, HOST),
    },
    {
      name: "response head, OpenAI's",
      run: () => responseHead('POST', 200, 'OK', response, audience),
    },
    {
      name: 'response head, two fields',
      run: () => responseHead('POST', 200, 'OK', bare, audience),
    },
  ],
);

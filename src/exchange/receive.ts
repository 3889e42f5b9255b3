// The global of this name is a getter, which optimised code calls each time (0.3 us a request, all told).
import { performance } from 'node:perf_hooks';
import { admit, guessDialect, type Refused } from '../admit/admit.ts';
import { loggedPath } from '../admit/credential.ts';
import type { ClientEvents, RequestBody, RequestHead, ResponseWriter } from '../edge/door.ts';
import { ownPage } from '../front-page.ts';
import {
  type Dialect,
  REJECTIONS,
  type RejectionCode,
  rejection,
  renderRejection,
} from '../rejection.ts';
import type { Outcome } from '../settle/metrics.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import { fieldValue } from '../wire/fields.ts';
import { Exchange, type WorkerContext } from './exchange.ts';

/** The client's side of a request that was refused and settled: nothing that comes can change it. */
const REFUSED: ClientEvents = {
  onBodyChunk() {},
  onUploadSilent() {},
  onUploadStalled() {},
  onUploadRefused() {},
  onWriterDrained() {},
  onResponseOver() {},
  onClientGone() {},
  onBroken() {},
};

/** Admits a request: an exchange begins, or it is answered and settled here. */
export function receive(
  context: WorkerContext,
  head: RequestHead,
  body: RequestBody,
  writer: ResponseWriter,
): ClientEvents {
  context.metrics.requestBegan();
  const requestId = context.nextRequestId();
  const beganMs = performance.now();
  let exchange: Exchange | null = null;
  // A bug that one request meets must not take the others of this worker with it.
  try {
    const preflight = context.cors.preflight(head.method, head.fields);
    if (preflight !== null) {
      answerPreflight(context, head, writer, requestId, beganMs, preflight);
      return REFUSED;
    }
    const admission = admit(head, context);
    if (admission.rejection !== null) {
      refuse(context, head, writer, requestId, beganMs, admission);
      return REFUSED;
    }
    exchange = new Exchange(context, admission, head, body, writer, requestId, beganMs);
    exchange.begin();
    return exchange;
  } catch (error) {
    if (exchange === null) {
      context.report(error);
      const failed = internal(guessDialect(head));
      refuse(context, head, writer, requestId, beganMs, failed);
      return REFUSED;
    }
    exchange.onBroken(error);
    return exchange;
  }
}

/** The gateway's own answer to a request that was not admitted: a rejection, or a page where a browser asks for one. */
function refuse(
  context: WorkerContext,
  asked: RequestHead,
  writer: ResponseWriter,
  requestId: string,
  beganMs: number,
  { rejection: why, dialect, provider, identity, fault }: Refused,
): void {
  const page =
    why.code === 'unknown_provider'
      ? ownPage(asked, context.router.providers, context.tls, requestId)
      : null;
  const { head, body, closes } =
    page === null ? renderRejection(why, dialect, requestId) : { ...page, closes: false };
  writer.respond(head + context.cors.lines(asked.fields), body, asked.method === 'HEAD', closes);
  const own = page === null ? why.code : null;
  const told = {
    payer: identity,
    status: own === null ? 200 : REJECTIONS[own].status,
    outcome: own === null ? 'complete' : outcomeOf(own),
    rejection: own,
  } as const;
  settle(context, asked, writer, requestId, beganMs, told, { provider, failure: fault, facts: [] });
}

/** A page may send its key to this gateway: no provider is asked, and no key is needed to be told so. */
function answerPreflight(
  context: WorkerContext,
  asked: RequestHead,
  writer: ResponseWriter,
  requestId: string,
  beganMs: number,
  preflight: string,
): void {
  writer.respond(`${preflight}\r\nx-sluice-request-id: ${requestId}`, '', false, false);
  settle(context, asked, writer, requestId, beganMs, PREFLIGHT_TOLD, NOBODYS);
}

const PREFLIGHT_TOLD = { payer: null, status: 200, outcome: 'complete', rejection: null } as const;
const NOBODYS: Account = { provider: null, failure: null, facts: [] };

/** The end of what never became an exchange. */
function settle(
  context: WorkerContext,
  asked: RequestHead,
  writer: ResponseWriter,
  requestId: string,
  beganMs: number,
  told: Pick<Settlement, 'payer' | 'status' | 'outcome' | 'rejection'>,
  account: Account,
): void {
  context.settler.settle(
    {
      ...told,
      requestId,
      traceparent: fieldValue(asked.fields, 'traceparent'),
      method: asked.method,
      path: loggedPath(asked.path),
      eventStream: false,
      bytesIn: 0,
      bytesOut: writer.bytesOut,
      ttfbMs: null,
      durationMs: performance.now() - beganMs,
    },
    account,
  );
}

function internal(dialect: Dialect): Refused {
  return {
    rejection: rejection('internal_error'),
    dialect,
    provider: null,
    identity: null,
    fault: null,
  };
}

function outcomeOf(code: RejectionCode): Outcome {
  return code === 'internal_error' ? 'gateway_error' : 'rejected';
}

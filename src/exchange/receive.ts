// The global of this name is a getter, which optimised code calls each time (0.3 us a request, all told).
import { performance } from 'node:perf_hooks';
import type { Admitted, Doubtful, Listed, Recalled, Refused } from '../admit/admission.ts';
import { admit } from '../admit/admit.ts';
import { guessDialect } from '../admit/caller-dialect.ts';
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
import { DoubtfulRequest } from './doubtful-request.ts';
import { Exchange, type WorkerContext } from './exchange.ts';
import { RecalledRequest } from './recalled-request.ts';

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
  // A bug that one request meets must not take the others of this worker with it.
  let refused: Unadmitted | null = null;
  try {
    const preflight = context.cors.preflight(head.method, head.fields);
    if (preflight !== null) {
      refused = new Unadmitted(context, head, writer, requestId, beganMs);
      refused.answerPreflight(preflight);
      return REFUSED;
    }
    const admission = admit(head, context);
    if (admission.rejection !== null || 'routing' in admission)
      return proceed(context, admission, head, body, writer, requestId, beganMs);
    refused = new Unadmitted(context, head, writer, requestId, beganMs);
    if ('recalled' in admission) return refused.recall(admission);
    if ('decided' in admission) return refused.ask(admission, body);
    refused.answerList(admission);
    return REFUSED;
  } catch (error) {
    refused ??= new Unadmitted(context, head, writer, requestId, beganMs);
    refused.onBroken(error);
    return REFUSED;
  }
}

/** Begins what was admitted, or tells and settles what was not. Does not throw. */
function proceed(
  context: WorkerContext,
  admission: Admitted | Refused,
  head: RequestHead,
  body: RequestBody,
  writer: ResponseWriter,
  requestId: string,
  beganMs: number,
): ClientEvents {
  let exchange: Exchange | null = null;
  let refused: Unadmitted | null = null;
  try {
    if (admission.rejection !== null) {
      refused = new Unadmitted(context, head, writer, requestId, beganMs);
      refused.refuse(admission);
      return REFUSED;
    }
    exchange = new Exchange(context, admission, head, body, writer, requestId, beganMs);
    exchange.begin();
    return exchange;
  } catch (error) {
    if (exchange !== null) {
      exchange.onBroken(error);
      return exchange;
    }
    refused ??= new Unadmitted(context, head, writer, requestId, beganMs);
    refused.onBroken(error);
    return REFUSED;
  }
}

const PREFLIGHT_TOLD = { payer: null, status: 200, outcome: 'complete', rejection: null } as const;
const LEFT_TOLD = { status: 0, outcome: 'client_gone', rejection: null } as const;
const BROKEN_TOLD = {
  payer: null,
  status: REJECTIONS.internal_error.status,
  outcome: 'gateway_error',
  rejection: 'internal_error',
} as const;
// One key's names: for no cache that others share (RFC 9111 §3.5 knows of Authorization only).
const LIST_HEAD = '200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n';
const NOBODYS: Account = { provider: null, failure: null, facts: [] };

/** A request that never became an exchange: the gateway answers it itself, and it is settled here, once. */
class Unadmitted {
  readonly #context: WorkerContext;
  readonly #asked: RequestHead;
  readonly #writer: ResponseWriter;
  readonly #requestId: string;
  readonly #beganMs: number;
  #settled = false;

  constructor(
    context: WorkerContext,
    asked: RequestHead,
    writer: ResponseWriter,
    requestId: string,
    beganMs: number,
  ) {
    this.#context = context;
    this.#asked = asked;
    this.#writer = writer;
    this.#requestId = requestId;
    this.#beganMs = beganMs;
  }

  /** A rejection, or a page where a browser asks for one. */
  refuse({ rejection: why, dialect, provider, identity, fault }: Refused): void {
    const { cors, router, tls } = this.#context;
    const asked = this.#asked;
    const page =
      why.code === 'unknown_provider'
        ? ownPage(asked, router.providers, tls, this.#requestId)
        : null;
    const { head, body, closes } =
      page === null ? renderRejection(why, dialect, this.#requestId) : { ...page, closes: false };
    this.#writer.respond(head + cors.lines(asked.fields), body, asked.method === 'HEAD', closes);
    const own = page === null ? why.code : null;
    const told = {
      payer: identity,
      status: own === null ? 200 : REJECTIONS[own].status,
      outcome: own === null ? 'complete' : outcomeOf(own),
      rejection: own,
    } as const;
    this.#settle(told, { provider, failure: fault, facts: [] });
  }

  /** A page may send its key to this gateway: no provider is asked, and no key is needed to be told so. */
  answerPreflight(preflight: string): void {
    const head = `${preflight}\r\nx-sluice-request-id: ${this.#requestId}`;
    this.#writer.respond(head, '', false, false);
    this.#settle(PREFLIGHT_TOLD, NOBODYS);
  }

  /** The names that the key may ask for: no provider is asked, and nothing is used. */
  answerList({ listed, identity }: Listed): void {
    const { cors } = this.#context;
    const { method, fields } = this.#asked;
    const head = `${LIST_HEAD}x-sluice-request-id: ${this.#requestId}`;
    this.#writer.respond(head + cors.lines(fields), listed, method === 'HEAD', false);
    const told = { payer: identity, status: 200, outcome: 'complete', rejection: null } as const;
    this.#settle(told, NOBODYS);
  }

  /** What the ledger has of one of the caller's requests: told when it has been looked up. */
  recall({ recalled: about, identity, dialect }: Recalled): ClientEvents {
    const context = this.#context;
    const { method, fields } = this.#asked;
    const asking = new RecalledRequest(
      {
        about,
        identity,
        dialect,
        requestId: this.#requestId,
        bodyless: method === 'HEAD',
        corsLines: context.cors.lines(fields),
        settle: (told) => this.#settle({ ...told, payer: identity }, NOBODYS),
        report: (error) => context.report(error),
      },
      this.#writer,
    );
    asking.begin(context.recalls);
    return asking;
  }

  /** What is stored of which this node has not heard: the fleet is asked first. */
  ask({ identity, isKnown, decided }: Doubtful, body: RequestBody): ClientEvents {
    const context = this.#context;
    const doubtful = new DoubtfulRequest(body, {
      isKnown,
      become: () =>
        proceed(
          context,
          decided(),
          this.#asked,
          body,
          this.#writer,
          this.#requestId,
          this.#beganMs,
        ),
      left: () => this.#settle({ ...LEFT_TOLD, payer: identity }, NOBODYS),
      onBroken: (error) => this.onBroken(error),
    });
    if (context.stored.fleet?.ask(doubtful) !== true) doubtful.told();
    return doubtful;
  }

  /** A bug ends this request and no other: told by the table or closed, settled once, logged. Does not throw. */
  onBroken(error: unknown): void {
    this.#context.report(error);
    if (this.#settled) return;
    try {
      this.refuse(internal(guessDialect(this.#asked)));
    } catch (again) {
      this.#context.report(again);
      // What told of it is what broke, or it was told and its settlement broke.
      if (this.#settled) return;
      this.#writer.destroy();
      this.#settleBroken();
    }
  }

  #settleBroken(): void {
    try {
      this.#settle(BROKEN_TOLD, NOBODYS);
    } catch (error) {
      this.#context.report(error);
    }
  }

  #settle(
    told: Pick<Settlement, 'payer' | 'status' | 'outcome' | 'rejection'>,
    account: Account,
  ): void {
    this.#settled = true;
    const { method, path, fields } = this.#asked;
    this.#context.settler.settle(
      {
        ...told,
        requestId: this.#requestId,
        traceparent: fieldValue(fields, 'traceparent'),
        method,
        path: loggedPath(path),
        eventStream: false,
        bytesIn: 0,
        bytesOut: this.#writer.bytesOut,
        ttfbMs: null,
        durationMs: performance.now() - this.#beganMs,
      },
      account,
    );
  }
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

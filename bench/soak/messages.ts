import type { Fault } from './answer-check.ts';
import type { Due, Order } from './order.ts';

/** What became of one order, as its client knows it. */
export interface End {
  readonly number: number;
  readonly kind: Order['kind'];
  /** Milliseconds of the wall clock, which all processes share. */
  readonly beganMs: number;
  readonly endedMs: number;
  readonly status: number;
  readonly complete: boolean;
  readonly requestId: string | null;
  readonly tenant: number;
  /** For a request with a virtual key; null for others, of which there is no fact. */
  readonly due: Due | null;
  /** The client went away by itself. */
  readonly left: boolean;
  readonly faults: readonly Fault[];
  /** To reproduce it. */
  readonly described: string;
}

export type ToLoad =
  /** Which signing key tokens are of, from now on. */
  { readonly kind: 'kid'; readonly kid: number } | { readonly kind: 'stop' };

export interface FromLoad {
  readonly ends: readonly End[];
  readonly asked: number;
  readonly inFlight: number;
  /** Orders that were dropped because too much was under way already. */
  readonly heldBack: number;
  /** Nothing more will come. */
  readonly isOver: boolean;
}

/** Where the upstream's parts listen. */
export interface UpstreamPorts {
  readonly mockA: number;
  readonly mockB: number;
  readonly streams: number;
  readonly bytes: number;
}

export type ToUpstream =
  /** Every connection to it is reset, and for a moment none is taken. */
  { readonly kind: 'restart' };

export type FromUpstream =
  | { readonly kind: 'ports'; readonly ports: UpstreamPorts }
  | { readonly kind: 'restarted' }
  | {
      readonly kind: 'seen';
      /** Numbers of the orders that reached it. */
      readonly reached: readonly number[];
      /** What was wrong with what reached it. */
      readonly wrong: readonly string[];
      /** Connections from the gateway that are open. */
      readonly connections: number;
    };

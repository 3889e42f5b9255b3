// W3C Trace Context §3.2.2: version "-" trace-id "-" parent-id "-" flags, lower-case hex, neither id all zero,
// version ff forbidden; later versions may append fields.
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/** The trace id of a valid `traceparent`, for the logs only; null when there is none. */
export function traceId(traceparent: string | null): string | null {
  return traceparent === null ? null : (TRACEPARENT.exec(traceparent)?.[1] ?? null);
}

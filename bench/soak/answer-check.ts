import type { Expected } from './expected-answer.ts';

/** What became of a request at its client. */
export interface Answer {
  /** 0 = no head came. */
  readonly status: number;
  /** Its framing said that nothing is missing. */
  readonly complete: boolean;
  readonly requestId: string | null;
  /** One character a byte. */
  readonly text: string;
}

/** `corrupt` and `clean-cut` are never anybody's doing; `lost` is, while an upstream is being restarted. */
export interface Fault {
  readonly kind: 'corrupt' | 'clean-cut' | 'lost' | 'hung';
  readonly what: string;
}

/** Ids that the mock makes of a hash of the request. */
const ID = /\b(?:chatcmpl-|cmpl-|gen-|req_)[0-9a-f]+/g;
/** What the gateway puts before a cut, at an event boundary. */
const ERROR_EVENT = /^(?:data: |event: error\ndata: )\{.*"error".*\}\n\n$/;

/**
 * Compares an answer with what the provider wrote, byte for byte.
 * @param left the client went away by itself: what it has must only be right
 */
export function faultsOf(answer: Answer, expected: Expected, left: boolean): readonly Fault[] {
  const { status, complete } = answer;
  if (status === 0) return left ? [] : [{ kind: 'lost', what: 'no answer' }];
  if (status !== expected.status) {
    const told = gatewayFault(answer);
    if (told !== null && !left) return [{ kind: 'corrupt', what: told }];
    const mayFail = status === 502 && !expected.whole;
    return left || mayFail ? [] : [{ kind: 'lost', what: `status ${status}` }];
  }
  if (expected.text === null) {
    const told = left ? null : gatewayFault(answer);
    return told === null ? [] : [{ kind: 'corrupt', what: told }];
  }
  const wrong = wrongByte(answer.text, expected, complete);
  if (wrong !== null) return [{ kind: 'corrupt', what: wrong }];
  if (complete && !expected.whole)
    return [{ kind: 'clean-cut', what: 'a cut answer ended cleanly' }];
  return complete || left || !expected.whole ? [] : [{ kind: 'lost', what: 'cut' }];
}

/** An error of the gateway or of the mock is JSON that says so. */
function gatewayFault({ text, complete }: Answer): string | null {
  if (!complete) return null;
  try {
    const body = JSON.parse(text) as { error?: unknown };
    return body.error === undefined ? 'an error answer without an error' : null;
  } catch {
    return `an error answer that is no JSON: ${text.slice(0, 80)}`;
  }
}

function wrongByte(got: string, expected: Expected, complete: boolean): string | null {
  const mask = (text: string): string => (expected.idsVary ? text.replace(ID, '#') : text);
  // The comment by which a late head leaves is nothing to a parser of event streams.
  const have = mask(expected.events ? got.replace(/^:\n/, '') : got);
  const want = mask(expected.text ?? '');
  if (have === want) return null;
  const at = firstDifference(have, want);
  const mayEnd = !complete || !expected.whole;
  if (mayEnd && (at === have.length || (expected.events && endsInError(have, at)))) return null;
  return `byte ${at} of ${want.length}: "${have.slice(at, at + 40)}" where "${want.slice(at, at + 40)}" belongs`;
}

/**
 * Behind the last boundary that is shared stands an error event. Not behind the first difference: it may begin like the
 * event that it stands in place of.
 */
function endsInError(have: string, differsAt: number): boolean {
  const shared = have.slice(0, differsAt);
  const start = Math.max(...['\n\n', '\r\n\r\n'].map((end) => endOfLast(shared, end)));
  return ERROR_EVENT.test(have.slice(start));
}

function endOfLast(text: string, end: string): number {
  const at = text.lastIndexOf(end);
  return at === -1 ? 0 : at + end.length;
}

function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

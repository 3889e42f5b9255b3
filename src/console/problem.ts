/** The closed table of what the admin API refuses with, as RFC 9457 tells problems (`application/problem+json`). */

const PROBLEMS = {
  malformed: [400, 'The request is not of the shape that the API document says.'],
  no_credentials: [401, 'This needs an admin token or a signed-in session.'],
  not_allowed: [403, 'This role may not do this.'],
  foreign_page: [403, 'A session writes only from the dashboard itself.'],
  not_found: [404, 'There is no such thing here.'],
  method_not_allowed: [405, 'This path does not take this method.'],
  conflict: [409, 'This exists already, or is held by something else.'],
  locked: [409, 'The file says that this is locked.'],
  changed_meanwhile: [412, 'Somebody else has changed this since it was read.'],
  too_large: [413, 'The body is larger than the admin API takes.'],
  wrong_type: [415, 'Bodies are JSON.'],
  invalid: [422, 'A gateway would refuse this configuration.'],
  precondition_required: [428, 'A write says in If-Match which revision it replaces.'],
  too_many: [429, 'Too many requests, or too many wrong credentials.'],
  internal_error: [500, 'Something is wrong in the gateway; its log has it.'],
  unavailable: [503, 'What knows this does not answer just now.'],
} as const;

export type ProblemCode = keyof typeof PROBLEMS;
export const PROBLEM_CODES = Object.keys(PROBLEMS) as readonly ProblemCode[];

/** One line of what is wrong with a value: file or `body`, key, found, expected. */
export interface ProblemPart {
  readonly key: string;
  readonly found: string;
  readonly expected: string;
}

/** What is thrown to refuse a call. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly parts: readonly ProblemPart[];
  /** Seconds; null: waiting does not help. */
  readonly retryAfter: number | null;

  /** @param detail one sentence about this very call; never a secret */
  constructor(
    code: ProblemCode,
    detail = '',
    { parts = [], retryAfter = null }: Partial<Pick<Problem, 'parts' | 'retryAfter'>> = {},
  ) {
    super(detail);
    this.code = code;
    this.parts = parts;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return PROBLEMS[this.code][0];
  }

  get title(): string {
    return PROBLEMS[this.code][1];
  }
}

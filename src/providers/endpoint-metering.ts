/** How a request to an endpoint is metered. */
export type EndpointMetering =
  /** OpenAI-wire completions: a stream reports its usage when it is asked to. */
  | 'completions'
  /** Writes an answer, and reports its usage unasked. */
  | 'answers'
  /** Reports its usage unasked; what it answers with is not a model's writing, or not known. */
  | 'reports'
  /** Bills nothing. */
  | 'free';

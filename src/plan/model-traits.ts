/** What is known of a model beside its price; null = not said. */
export interface ModelTraits {
  /** Tokens that go in and come out together. */
  readonly contextTokens: number | null;
  readonly maxOutputTokens: number | null;
  readonly images: boolean | null;
  readonly tools: boolean | null;
  readonly jsonSchema: boolean | null;
  readonly audio: boolean | null;
  /** It goes on with an answer that it is given the beginning of. */
  readonly continuesPrefix: boolean | null;
  /** Of a prompt's text: how many tokens a byte is at most. */
  readonly tokensPerByte: number | null;
}

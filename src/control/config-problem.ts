/** One thing that is wrong with a configuration. No member ever holds a secret value. */
export interface ConfigProblem {
  /** Path of the file, or `environment`. */
  readonly file: string;
  /** Dotted key, the name of a variable, or `line L, column C` of a file that is not TOML. */
  readonly key: string;
  readonly found: string;
  readonly expected: string;
}

/** Every problem of one configuration, found in one pass; the message has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(problemLine).join('\n'));
    this.problems = problems;
  }
}

function problemLine({ file, key, found, expected }: ConfigProblem): string {
  return `${file}: ${key}: found ${found}, expected ${expected}`;
}

/** Columns that a line of prose takes at most. */
const COLUMNS = 92;
const INDENT = '     ';

/** What the demo shows: numbered scenes, the line that did it, prose that is wrapped while it arrives. */
export class Screen {
  #scene = 0;
  #column = 0;

  /** Anything, as it is. */
  print(text: string): void {
    process.stdout.write(text);
  }

  scene(title: string): void {
    this.#scene++;
    this.print(`\n${this.#scene}  ${title}\n`);
  }

  /** The commands that do it. */
  shell(...commands: readonly string[]): void {
    this.code(...commands.map((command) => `$ ${command}`));
  }

  /** The lines of code that do it. */
  code(...lines: readonly string[]): void {
    for (const line of lines) this.print(`${INDENT}${line}\n`);
  }

  /** One line of prose of the demo's own. */
  say(text: string): void {
    for (const word of text.split(' ')) this.piece(` ${word}`);
    this.end();
  }

  /** A piece of an answer, as it arrives: shown at once, on a new line where it no longer fits. */
  piece(text: string): void {
    if (this.#column === 0 || this.#column + text.length > COLUMNS) {
      if (this.#column > 0) this.print('\n');
      this.print(INDENT);
      this.#column = INDENT.length;
      this.print(text.trimStart());
      this.#column += text.trimStart().length;
      return;
    }
    this.print(text);
    this.#column += text.length;
  }

  /** The end of what came in pieces. */
  end(text = ''): void {
    this.print(`${text}\n`);
    this.#column = 0;
  }
}

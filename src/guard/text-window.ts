/** What stands behind a text's last unit. */
export const TEXT_END = -1;

/**
 * A text that may not be whole, and whether anybody had to look behind its end: what was decided without looking there is
 * decided whatever follows. That is all that holding back needs to know, and it cannot be forgotten in a matcher.
 */
export class TextWindow {
  text = '';
  length = 0;
  /** Somebody looked behind the end since this was last set to false. */
  touched = false;

  open(text: string): void {
    this.text = text;
    this.length = text.length;
    this.touched = false;
  }

  /** The text is let go: nothing of a prompt lives in a detector between two scans. */
  close(): void {
    this.text = '';
    this.length = 0;
  }

  /** @returns the UTF-16 unit at `at`; TEXT_END behind the last one */
  at(at: number): number {
    if (at < this.length) return this.text.charCodeAt(at);
    this.touched = true;
    return TEXT_END;
  }
}

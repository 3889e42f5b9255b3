/** A block of an event stream: what stands up to and with a blank line. */
export interface Block {
  /** Offset behind its blank line, in bytes. */
  readonly end: number;
  /** The data of its event; null when it has no `data` field. */
  readonly data: string | null;
  readonly isError: boolean;
}

/**
 * The blocks of a whole stream, read as WHATWG HTML §9.2.6 says: split into lines first, then line by line. Slow, and easy
 * to believe. What no blank line ends is no block.
 * @param bytes taken as Latin-1, so that offsets are bytes
 */
export function blocksOf(bytes: Buffer): readonly Block[] {
  const text = bytes.toString('latin1');
  const blocks: Block[] = [];
  let data: string[] = [];
  let name = '';
  let at = text.startsWith('\u00ef\u00bb\u00bf') ? 3 : 0;
  for (;;) {
    const line = /^([^\r\n]*)(\r\n|\r|\n)/.exec(text.slice(at));
    if (line === null) return blocks;
    at += line[0].length;
    const [, content = ''] = line;
    const colon = content.indexOf(':');
    const field = colon < 0 ? content : content.slice(0, colon);
    const value = colon < 0 ? '' : content.slice(colon + 1).replace(/^ /, '');
    if (content === '') {
      blocks.push({
        end: at,
        data: data.length === 0 ? null : data.join('\n'),
        isError: name === 'error',
      });
      data = [];
      name = '';
    } else if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
  }
}

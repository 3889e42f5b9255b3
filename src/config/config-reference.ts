import { readFileSync, statSync } from 'node:fs';
import { fileSignature } from './file-signature.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a text with references stands for, or why it stands for nothing. */
type Resolved =
  | { readonly value: string; readonly referenced: boolean; readonly file?: ReadFile }
  | { readonly found: string; readonly expected: string; readonly file?: ReadFile };

/** A file that was read, or should have been, and its signature from before. */
export interface ReadFile {
  readonly path: string;
  readonly signature: string;
}

/** A file's text, or why there is none, in words that can stand behind the path. */
type FileText = { readonly text: string } | { readonly failure: string };

/** Keys and tokens are at most a few KiB; a file far beyond that is the wrong file. */
const REFERENCED_FILE_MAX_BYTES = 64 * 1024;

const FAILURES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['ENOTDIR', 'a parent that is no directory'],
]);

/**
 * Replaces each `${NAME}` by the variable's value, then a leading `file:` by the file's content
 * without its last line end. What was inserted is not looked at again: a value from outside
 * cannot name further variables or files.
 */
export function resolveReferences(text: string, env: Environment): Resolved {
  const failures: string[] = [];
  const replaced = text.replace(/\$\{([^}]*)\}?/g, (reference, name: string) => {
    const value = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(reference) ? env[name] : undefined;
    if (value === undefined) failures.push(reference);
    return value ?? '';
  });
  const [failure] = failures;
  if (failure !== undefined) return unresolved(failure);
  if (!text.startsWith('file:')) return { value: replaced, referenced: replaced !== text };
  const path = replaced.slice('file:'.length);
  const read = { path, signature: fileSignature(path) };
  const file = readText(path, REFERENCED_FILE_MAX_BYTES);
  if ('failure' in file) {
    return {
      found: `${text} (${file.failure})`,
      expected: 'a readable file behind file:',
      file: read,
    };
  }
  return { value: file.text.replace(/\r?\n$/, ''), referenced: true, file: read };
}

/** Only a well-formed reference is quoted: `${` may also be part of a key. */
function unresolved(reference: string): Resolved {
  const name = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(reference)?.[1];
  if (name === undefined) {
    return {
      found: `"\${" that starts no reference`,
      expected: `\${NAME}, or file:/path for a value that holds "\${"`,
    };
  }
  return { found: `\${${name}}, which is not set`, expected: `the variable ${name} to be set` };
}

/** Reads a regular UTF-8 file of at most `maxBytes`; never throws. */
export function readText(path: string, maxBytes: number): FileText {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) return { failure: 'not a regular file' };
    if (stats.size > maxBytes) return { failure: `larger than ${maxBytes} bytes` };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    if (error instanceof TypeError) return { failure: 'not UTF-8 text' };
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    return { failure: FAILURES.get(code) ?? code };
  }
}

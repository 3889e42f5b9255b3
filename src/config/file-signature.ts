import { statSync } from 'node:fs';

/**
 * What changes when a file does, is replaced, goes or can no longer be looked at; symbolic links are followed. Take it
 * before the file is read: a change in between is then seen as one.
 */
export function fileSignature(path: string): string {
  try {
    const { dev, ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${dev}.${ino}.${mtimeNs}.${size}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

import type { OverlayEntry } from './overlay-entry.ts';

/** Entries as tables that can be put into the configuration's file, each with who made it and why above it. */
export function overlayToml(entries: readonly OverlayEntry[]): string {
  return entries
    .map(({ table, name, value, author, reason, atMs, expiresMs }) => {
      const until = expiresMs === null ? '' : `, until ${new Date(expiresMs).toISOString()}`;
      const why = reason === '' ? '' : `: ${oneLine(reason)}`;
      const lines = Object.entries(value)
        .filter(([, said]) => said !== null)
        .map(([member, said]) => `${keyText(member)} = ${tomlText(said)}`);
      return [
        `# ${oneLine(author)}, ${new Date(atMs).toISOString()}${until}${why}`,
        `[${table}.${keyText(name)}]`,
        ...lines,
        '',
      ].join('\n');
    })
    .join('\n');
}

function keyText(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : stringText(name);
}

/** JSON's scalars are TOML's too, but for DEL in a text (TOML 1.0: string). */
function tomlText(value: unknown): string {
  if (typeof value === 'string') return stringText(value);
  if (Array.isArray(value)) return `[${value.map(tomlText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, said]) => said !== null);
  return `{ ${members.map(([name, said]) => `${keyText(name)} = ${tomlText(said)}`).join(', ')} }`;
}

function stringText(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
}

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would end the comment
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ');
}

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const FOLDER = join(ROOT, 'wasm');

const sha256 = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

const manifest: unknown = JSON.parse(readFileSync(join(FOLDER, 'manifest.json'), 'utf8'));
const listed = (part: 'sources' | 'modules'): Record<string, unknown> => {
  const entries: unknown = (manifest as Record<string, unknown>)[part];
  return entries as Record<string, unknown>;
};

describe('the committed scanner modules', () => {
  test('come from the sources that are committed beside them', () => {
    const names = readdirSync(join(FOLDER, 'assembly')).filter((name) => name.endsWith('.ts'));
    expect(names.length).toBeGreaterThan(5);
    const hashes = names.map((name) => [name, sha256(join(FOLDER, 'assembly', name))]);
    expect(Object.fromEntries(hashes)).toEqual(listed('sources'));
  });

  test('are the bytes that the manifest lists', () => {
    const names = readdirSync(FOLDER).filter((name) => name.endsWith('.wasm'));
    expect(names.sort()).toEqual(['json-scanner.scalar.wasm', 'json-scanner.simd.wasm']);
    const hashes = names.map((name) => [name, sha256(join(FOLDER, name))]);
    expect(Object.fromEntries(hashes)).toEqual(listed('modules'));
  });

  test('are what the compiler makes of the sources, byte for byte', (ctx) => {
    if (!existsSync(join(ROOT, 'node_modules/assemblyscript'))) {
      ctx.skip('assemblyscript is not installed');
    }
    const out = mkdtempSync(join(tmpdir(), 'sluice-wasm-'));
    try {
      const built = spawnSync(process.execPath, [join(FOLDER, 'build.js'), '--out', out], {
        encoding: 'utf8',
      });
      expect(built.stderr).toBe('');
      expect(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))).toEqual(manifest);
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});

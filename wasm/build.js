// Compiles wasm/assembly to the two committed modules and writes wasm/manifest.json, which a test holds against the
// files: a source change without a rebuild, or a module that these sources do not give, fails there.
// Usage: npm run build:wasm [-- --out <folder>]
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';

const HERE = import.meta.dirname;
const SOURCES = join(HERE, 'assembly');
const at = process.argv.indexOf('--out');
const OUT = at < 0 ? HERE : process.argv[at + 1];

// stub runtime: no allocator, no collector; layout.ts owns every address. 2 pages hold the fixed part and 191 slots.
const COMMON = [
  '--runtime',
  'stub',
  '-O3',
  '--noAssert',
  '--initialMemory',
  '2',
  '--memoryBase',
  '1024',
  '--use',
  'abort=',
];
const BUILDS = { simd: ['--enable', 'simd'], scalar: [] };

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

mkdirSync(OUT, { recursive: true });
const manifest = { compiler: `assemblyscript ${asc.version}`, sources: {}, modules: {} };
for (const name of readdirSync(SOURCES).sort()) {
  if (name.endsWith('.ts')) manifest.sources[name] = sha256(readFileSync(join(SOURCES, name)));
}
for (const [build, flags] of Object.entries(BUILDS)) {
  const name = `json-scanner.${build}.wasm`;
  const outFile = join(OUT, name);
  const result = await asc.main([
    'scanner.ts',
    '--baseDir',
    SOURCES,
    '--outFile',
    outFile,
    ...COMMON,
    ...flags,
  ]);
  if (result.error) {
    process.stderr.write(`${result.stderr.toString()}\n`);
    throw result.error;
  }
  manifest.modules[name] = sha256(readFileSync(outFile));
}
writeFileSync(join(OUT, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);

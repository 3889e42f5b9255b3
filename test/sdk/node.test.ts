import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { ROOT } from '../support/gateway.ts';
import { describeMatrix } from './matrix.ts';
import { folderOf, NODE } from './toolchains.ts';

describeMatrix(NODE);

it('the programs fit the types that their SDKs publish', (ctx) => {
  const missing = NODE.missing();
  if (missing !== null) return ctx.skip(missing);
  // The root's compiler leaves them out: their SDKs are not in its node_modules.
  const argv = [`${ROOT}node_modules/typescript/bin/tsc`, '--noEmit', '-p', folderOf('node')];
  const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  expect(stdout + stderr).toBe('');
});

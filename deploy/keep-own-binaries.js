// Takes out of an installed node_modules what this platform never loads: 23 of the 24 binaries of the HTTP front end
// (126 of 133 MB), and the package that the pinned Node came in (headers, and a second link to the same binary).
//   node_modules/node/bin/node deploy/keep-own-binaries.js node_modules
// It must be run by the Node that will run Sluice: platform, architecture and ABI are that one's.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const [, , modules = 'node_modules'] = process.argv;
const { platform, arch, versions } = process;
const folder = join(modules, 'uWebSockets.js/dist/bin');
const own = `uws_${platform}_${arch}_${versions.modules}.node`;
const names = readdirSync(folder);
if (!names.includes(own)) {
  throw new Error(`${folder} has no ${own}: there is no front end for this platform and Node.`);
}
for (const name of names) if (name !== own) rmSync(join(folder, name));
rmSync(join(modules, 'node/node_modules'), { recursive: true, force: true });

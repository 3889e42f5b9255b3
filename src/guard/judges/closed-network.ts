import { createRequire } from 'node:module';

// linux/seccomp.h, linux/filter.h, linux/audit.h, linux/prctl.h.
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const EACCES = 13;

/** Where a filter finds the call's number and the machine's kind: offsets in struct seccomp_data. */
const AT_NUMBER = 0;
const AT_ARCH = 4;

/** io_uring makes sockets without socket(2); its number is the same everywhere. */
const IO_URING_SETUP = 425;

interface Machine {
  /** AUDIT_ARCH_… */
  readonly audit: number;
  readonly socket: number;
  readonly seccomp: number;
}

const MACHINES: ReadonlyMap<string, Machine> = new Map([
  ['x64', { audit: 0xc000003e, socket: 41, seccomp: 317 }],
  ['arm64', { audit: 0xc00000b7, socket: 198, seccomp: 277 }],
]);

/** struct sock_filter: code, jumps over if true and if false, constant. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, constant: number];

function filterOf({ audit, socket }: Machine): Buffer {
  const program: readonly Instruction[] = [
    [LOAD_WORD, 0, 0, AT_ARCH],
    [JUMP_IF_EQUAL, 0, 4, audit],
    [LOAD_WORD, 0, 0, AT_NUMBER],
    [JUMP_IF_EQUAL, 1, 0, socket],
    [JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP],
    [RETURN, 0, 0, SECCOMP_RET_ERRNO | EACCES],
    [RETURN, 0, 0, SECCOMP_RET_ALLOW],
  ];
  const bytes = Buffer.alloc(8 * program.length);
  for (const [at, [code, ifTrue, ifFalse, constant]] of program.entries()) {
    bytes.writeUInt16LE(code, 8 * at);
    bytes.writeUInt8(ifTrue, 8 * at + 2);
    bytes.writeUInt8(ifFalse, 8 * at + 3);
    bytes.writeUInt32LE(constant, 8 * at + 4);
  }
  return bytes;
}

/**
 * Takes from this process, all of its threads and for good, the system calls that make sockets (seccomp(2)). What is open
 * stays open.
 * @returns false where that cannot be done: another system than Linux on x64 or arm64, no koffi, a kernel that refuses
 */
export function closeNetwork(): boolean {
  const machine = process.platform === 'linux' ? MACHINES.get(process.arch) : undefined;
  if (machine === undefined) return false;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const library = koffi.load(null);
    koffi.struct('sock_fprog', { len: 'uint16_t', filter: 'void *' });
    const prctl = library.func(
      'int prctl(int what, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
    );
    const seccomp = library.func(
      'long syscall(long number, unsigned long what, unsigned long flags, sock_fprog *filter)',
    );
    const filter = filterOf(machine);
    const rules = { len: filter.length / 8, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) return false;
    const said: unknown = seccomp(
      machine.seccomp,
      SECCOMP_SET_MODE_FILTER,
      SECCOMP_FILTER_FLAG_TSYNC,
      rules,
    );
    return said === 0;
  } catch {
    return false;
  }
}

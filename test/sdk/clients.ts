import type { CallerWire } from '../../src/dialect/wires.ts';
import type { Dialect } from '../../src/rejection.ts';
import type { Wire, WorkName } from './cases.ts';

export type ToolchainName = 'node' | 'python' | 'go' | 'curl' | 'commands' | 'java';

/** One stock client and what its program shows with it. */
export interface Client {
  /** As a reader of docs/clients.md looks for it. */
  readonly name: string;
  readonly toolchain: ToolchainName;
  /** The packages that its row names, with the versions of the lock file; none for what the system brings. */
  readonly packages: readonly string[];
  /** File or folder in the toolchain's folder. */
  readonly program: string;
  readonly dialect: Dialect;
  /** What it speaks: providers of other wires are reached through routes. */
  readonly wire: CallerWire;
  readonly works: readonly WorkName[];
  /** What it is refused on another wire, by the field that the refusal names. */
  readonly untranslatable: Partial<Record<WorkName, Partial<Record<Wire, string>>>>;
  /** False: its errors do not carry the code of the body. */
  readonly tellsCode: boolean;
  /** False: it makes no call without a key. */
  readonly keyless: boolean;
  /** The status that it puts in place of the one that came, by the name of the failure. */
  readonly remaps: Readonly<Record<string, number>>;
}

const OPENAI: readonly WorkName[] = [
  'chat',
  'stream',
  'tools',
  'structured',
  'vision',
  'embeddings',
  'cut-stream',
];
const ANTHROPIC: readonly WorkName[] = OPENAI.filter((name) => name !== 'embeddings');

const USUAL = {
  dialect: 'openai',
  wire: 'openai-chat',
  tellsCode: true,
  keyless: false,
  untranslatable: {},
  remaps: {},
} as const;
const NODE = { ...USUAL, toolchain: 'node' } as const;
const GO = { ...USUAL, toolchain: 'go', keyless: true } as const;
const PYTHON = { ...USUAL, toolchain: 'python' } as const;

/** Where the model thinks before it calls. */
const STORED_THOUGHTS = {
  'openai-chat': 'input[1].item_reference',
  gemini: 'input[1].item_reference',
} as const;

/** Every client of the matrix. The table of docs/clients.md has a row for each. */
export const CLIENTS: readonly Client[] = [
  {
    ...NODE,
    name: 'Node openai',
    packages: ['openai'],
    program: 'openai.ts',
    works: [...OPENAI, 'parallel', 'reasoning', 'plain-stream', 'responses', 'retry'],
  },
  {
    ...NODE,
    name: 'Node openai, Responses',
    packages: ['openai'],
    program: 'openai-responses.ts',
    wire: 'openai-responses',
    works: [...ANTHROPIC, 'parallel', 'reasoning', 'retry'],
  },
  {
    ...NODE,
    name: 'Node @anthropic-ai/sdk',
    packages: ['@anthropic-ai/sdk'],
    program: 'anthropic.ts',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel', 'reasoning', 'count', 'retry'],
  },
  {
    ...NODE,
    name: 'Vercel ai, openai (Responses)',
    packages: ['ai', '@ai-sdk/openai'],
    program: 'ai-openai.ts',
    wire: 'openai-responses',
    works: [...OPENAI, 'parallel', 'storeless'],
    // By default it points at what OpenAI is thought to have kept: a thought, and on later turns what was said.
    untranslatable: { tools: STORED_THOUGHTS, parallel: STORED_THOUGHTS },
  },
  {
    ...NODE,
    name: 'Vercel ai, openai (chat)',
    packages: ['ai', '@ai-sdk/openai'],
    program: 'ai-openai-chat.ts',
    works: [...ANTHROPIC, 'parallel'],
  },
  {
    ...NODE,
    name: 'Vercel ai, anthropic',
    packages: ['ai', '@ai-sdk/anthropic'],
    program: 'ai-anthropic.ts',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel'],
  },
  {
    ...NODE,
    name: 'Vercel ai, openai-compatible',
    packages: ['ai', '@ai-sdk/openai-compatible'],
    program: 'ai-compatible.ts',
    works: [...OPENAI, 'parallel'],
  },
  {
    ...NODE,
    name: 'LangChain JS, openai',
    packages: ['@langchain/openai'],
    program: 'langchain-openai.ts',
    works: [...OPENAI, 'responses', 'parallel'],
  },
  {
    ...NODE,
    name: 'LangChain JS, anthropic',
    packages: ['@langchain/anthropic'],
    program: 'langchain-anthropic.ts',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel'],
  },
  {
    ...GO,
    name: 'Go openai-go',
    packages: ['github.com/openai/openai-go/v3'],
    program: 'openai_go',
    works: [...OPENAI, 'parallel', 'plain-stream', 'responses', 'retry'],
  },
  {
    ...GO,
    name: 'Go anthropic-sdk-go',
    packages: ['github.com/anthropics/anthropic-sdk-go'],
    program: 'anthropic_go',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel', 'reasoning', 'count', 'retry'],
    keyless: false,
  },
  {
    ...GO,
    name: 'Go go-openai',
    packages: ['github.com/sashabaranov/go-openai'],
    program: 'go_openai',
    works: [...OPENAI, 'plain-stream'],
  },
  {
    ...PYTHON,
    name: 'Python openai, sync',
    packages: ['openai'],
    program: 'openai_sync.py',
    works: [...OPENAI, 'parallel', 'reasoning', 'plain-stream', 'responses', 'retry'],
  },
  {
    ...PYTHON,
    name: 'Python openai, async',
    packages: ['openai'],
    program: 'openai_async.py',
    works: [...OPENAI, 'plain-stream', 'responses', 'retry'],
  },
  {
    ...PYTHON,
    name: 'Python openai, Responses',
    packages: ['openai'],
    program: 'openai_responses.py',
    wire: 'openai-responses',
    works: [...ANTHROPIC, 'parallel', 'reasoning', 'retry'],
  },
  {
    ...PYTHON,
    name: 'Python anthropic',
    packages: ['anthropic'],
    program: 'anthropic_sync.py',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel', 'reasoning', 'count', 'retry'],
  },
  {
    ...PYTHON,
    name: 'Python langchain-openai',
    packages: ['langchain-openai'],
    program: 'langchain_openai_chat.py',
    works: [...OPENAI, 'parallel', 'responses'],
  },
  {
    ...PYTHON,
    name: 'Python llama-index',
    packages: ['llama-index-llms-openai', 'llama-index-embeddings-openai'],
    program: 'llama_index_openai.py',
    works: [...OPENAI, 'parallel', 'plain-stream'],
  },
  {
    ...PYTHON,
    name: 'Python instructor, openai',
    packages: ['instructor'],
    program: 'instructor_openai.py',
    works: ['stream', 'tools', 'structured', 'vision', 'cut-stream'],
  },
  {
    ...PYTHON,
    name: 'Python instructor, anthropic',
    packages: ['instructor'],
    program: 'instructor_anthropic.py',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: ['stream', 'tools', 'vision'],
  },
  {
    ...PYTHON,
    name: 'Python litellm, openai',
    packages: ['litellm'],
    program: 'litellm_openai.py',
    works: [...OPENAI, 'parallel', 'responses'],
    tellsCode: false,
  },
  {
    ...PYTHON,
    name: 'Python litellm, anthropic',
    packages: ['litellm'],
    program: 'litellm_anthropic.py',
    dialect: 'anthropic',
    wire: 'anthropic-messages',
    works: [...ANTHROPIC, 'parallel', 'reasoning'],
    tellsCode: false,
    // It knows no 413, and any `overloaded_error` is a 500 to it.
    remaps: { 'too-large': 400, 'no-pool-key': 500, overloaded: 500 },
  },
  {
    ...USUAL,
    toolchain: 'curl',
    keyless: true,
    name: 'curl',
    packages: [],
    program: 'calls.ts',
    works: [...OPENAI, 'parallel', 'reasoning', 'plain-stream'],
  },
];

import type { Place } from './named-texts.ts';
import { place } from './text-places.ts';

/**
 * What only the account that made it can open again: encrypted reasoning, signatures of thoughts. By whose it is where
 * nothing in it says otherwise.
 */
export const SEALED = {
  openai: 'sealed by openai',
  anthropic: 'sealed by anthropic',
  gemini: 'sealed by gemini',
} as const;

/** What kind of tool it is: some leave a container, and files in it. */
export const TOOL_TYPE = 'type';

const FILE = 'file_id';
const FILES = 'file_ids';
const CONTAINER = 'container';

/** Parts of a message: Responses' `input_file` and `input_image`, Anthropic's `source` and `container_upload`, chat's `file`. */
const PARTS = { file_id: FILE, source: { file_id: FILE }, file: { file_id: FILE } } as const;
/** Of a message or an input item; a tool's result has parts of its own. */
const MESSAGE = {
  content: { ...PARTS, content: PARTS, signature: SEALED.anthropic, data: SEALED.anthropic },
  output: PARTS,
  encrypted_content: SEALED.openai,
  thinking_blocks: { signature: SEALED.anthropic, data: SEALED.anthropic },
  tool_calls: { extra_content: { google: { thought_signature: SEALED.gemini } } },
} as const;

/**
 * Where a request names an object that its provider has stored: it is told by its field's name. From the vendors'
 * references: OpenAI Responses (`previous_response_id`, `conversation`, `input`, `tools`, `prompt.variables`), chat
 * completions (`file`), Files, Vector stores and Batches (`file_id`, `file_ids`, `input_file_id`); Anthropic Messages
 * (`container`, `source`). Places for arguments and schemas of a caller's own tools are none of them: they hold what the
 * caller likes.
 */
const STATE = {
  previous_response_id: 'previous_response_id',
  conversation: { '': 'conversation', id: 'conversation' },
  container: { '': CONTAINER, id: CONTAINER },
  input: MESSAGE,
  items: MESSAGE,
  messages: MESSAGE,
  tools: {
    type: TOOL_TYPE,
    container: { '': CONTAINER, file_ids: FILES },
    environment: { container_id: CONTAINER, file_ids: FILES },
    vector_store_ids: 'vector_store_ids',
    file_ids: FILES,
    input_image_mask: { file_id: FILE },
  },
  prompt: { variables: { '*': { file_id: FILE } } },
  file_id: FILE,
  file_ids: FILES,
  input_file_id: 'input_file_id',
  contents: { parts: { thoughtSignature: SEALED.gemini } },
} as const;
export const REQUEST_STATE: Place = place(STATE);

/** Which kind of input item it is: one is a reference, and has its name where others have their own. */
export const ITEM_TYPE = 'item type';

const GEMINI_FILE = { fileUri: FILE, file_uri: FILE } as const;
const GEMINI_PART = { fileData: GEMINI_FILE, file_data: GEMINI_FILE } as const;
const GEMINI_CONTENT = {
  parts: { ...GEMINI_PART, ...STATE.contents.parts },
} as const;
const STORES = { vector_store_ids: 'vector_store_ids', file_ids: FILES } as const;

/**
 * Where a request leads to what is kept elsewhere and may be another thing tomorrow: all of the above, and what needs no account
 * of its own to be found again, or is found by the account alone. Google's `fileData` (ai.google.dev/api/caching#FileData), in
 * either of the spellings that it takes; OpenAI's `item_reference`, earlier audio, and the assistants' `tool_resources`.
 */
export const REQUEST_ELSEWHERE: Place = place({
  ...STATE,
  input: { ...MESSAGE, type: ITEM_TYPE },
  messages: { ...MESSAGE, audio: { id: 'audio' } },
  system: PARTS,
  contents: GEMINI_CONTENT,
  systemInstruction: GEMINI_CONTENT,
  system_instruction: GEMINI_CONTENT,
  tool_resources: { file_search: STORES, code_interpreter: STORES },
});

/** What an answer's own id is told as. */
export const ANSWER_ID = 'id';

/** Where an answer says what its provider has stored: the root of a JSON answer, `response` of a stream's events. */
export const ANSWER_STATE: Place = place({
  id: ANSWER_ID,
  response: { id: ANSWER_ID, conversation: { id: 'conversation' } },
  conversation: { id: 'conversation' },
});

/** Files that a container wrote, in the results of Anthropic's code execution. */
const WRITTEN = { file_id: FILE, content: { file_id: FILE } } as const;
/** OpenAI's calls of the code interpreter, and its citations of what that wrote. */
const ITEM = {
  container_id: CONTAINER,
  content: { annotations: { container_id: CONTAINER, file_id: FILE } },
} as const;

/**
 * Where an answer of code execution names its container and what that wrote: OpenAI's items (`output`, an event's `item`,
 * `annotation`), Anthropic's `container` (of the answer, of `message_start`, of `message_delta`) and blocks.
 */
export const CONTAINER_STATE: Place = place({
  id: ANSWER_ID,
  container: { id: CONTAINER },
  content: { content: WRITTEN },
  output: ITEM,
  item: ITEM,
  annotation: { container_id: CONTAINER, file_id: FILE },
  message: { container: { id: CONTAINER }, content: { content: WRITTEN } },
  delta: { container: { id: CONTAINER } },
  content_block: { content: WRITTEN },
  conversation: { id: 'conversation' },
  response: { id: ANSWER_ID, conversation: { id: 'conversation' }, output: ITEM },
});

/** How far a stored response is (OpenAI Responses, `status`). */
export const STATUS_OF_ANSWER: Place = place({ status: 'status' });

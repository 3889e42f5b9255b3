import type { FunctionTool, Tool, ToolChoice } from '../conversation.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';

/** The name of the one argument that a tool of free text has on another wire. */
export const FREE_INPUT = 'input';

/** @throws Refusal */
export function readTool(value: unknown, index: number): Tool {
  const field = `tools[${index}]`;
  if (!isObject(value)) throw malformed(field, 'expected an object');
  const type = textIn(value, 'type') ?? 'function';
  if (type === 'custom') return readFreeTool(value, field);
  if (type !== 'function') return { kind: 'hosted', name: textIn(value, 'name') ?? type };
  const schema = value['parameters'];
  if (schema !== undefined && schema !== null && !isObject(schema))
    throw malformed(`${field}.parameters`, 'expected a JSON schema');
  return {
    kind: 'function',
    name: nameOf(value, field),
    description: textIn(value, 'description'),
    schema: schema ?? null,
    isStrict: value['strict'] === true,
    cache: null,
  };
}

function nameOf(tool: JsonObject, field: string): string {
  const name = textIn(tool, 'name');
  if (name === null || name === '') throw malformed(`${field}.name`, 'expected a name');
  return name;
}

/** It takes text as it is, which no other wire has: there it is a tool with one text, and the answer undoes it. */
function readFreeTool(tool: JsonObject, field: string): FunctionTool {
  const grammar = textIn(objectIn(tool, 'format') ?? {}, 'definition');
  const told = grammar === null ? {} : { description: `Text of this grammar:\n${grammar}` };
  return {
    kind: 'function',
    name: nameOf(tool, field),
    description: textIn(tool, 'description'),
    schema: {
      type: 'object',
      properties: { [FREE_INPUT]: { type: 'string', ...told } },
      required: [FREE_INPUT],
    },
    isStrict: false,
    cache: null,
  };
}

/** @throws Refusal where a tool is forced that only OpenAI runs */
export function readToolChoice(value: unknown): ToolChoice | null {
  if (value === 'auto' || value === 'none') return { kind: value };
  if (value === 'required') return { kind: 'any' };
  if (!isObject(value)) return null;
  const type = textIn(value, 'type') ?? '';
  if (type === 'function' || type === 'custom')
    return { kind: 'named', name: textIn(value, 'name') ?? '' };
  if (type !== 'allowed_tools')
    throw untranslatable('tool_choice', `only OpenAI can run ${JSON.stringify(type)}`);
  const names = listIn(value, 'tools').map((tool) =>
    isObject(tool) ? (textIn(tool, 'name') ?? textIn(tool, 'type') ?? '') : '',
  );
  return { kind: 'allowed', names, isForced: value['mode'] === 'required' };
}

/** Names of the tools that take text as it is, from a request's `tools`. */
export function freeTools(tools: readonly unknown[]): ReadonlySet<string> {
  return new Set(
    tools.flatMap((tool) =>
      isObject(tool) && tool['type'] === 'custom' ? [textIn(tool, 'name') ?? ''] : [],
    ),
  );
}

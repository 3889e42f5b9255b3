import type { FunctionTool, Tool, ToolChoice } from '../conversation.ts';
import { isObject, type JsonObject, listIn, objectIn, textIn } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { argumentsSchema, listAt } from '../wishes.ts';

/** The name of the one argument that a tool of free text has on another wire. */
export const FREE_INPUT = 'input';

/**
 * A tool as other wires know it: they have no namespaces, so that its name says both.
 * @param namespace null where it is in none
 */
export function qualifiedName(namespace: string | null, name: string): string {
  if (namespace === null || namespace === '') return name;
  return namespace.endsWith('__') ? namespace + name : `${namespace}__${name}`;
}

/**
 * @param value one of a request's `tools`: a tool, or a namespace of several
 * @throws Refusal
 */
export function readTools(value: unknown, index: number): readonly Tool[] {
  const field = `tools[${index}]`;
  if (!isObject(value)) throw malformed(field, 'expected an object');
  if (value['type'] !== 'namespace') return [readTool(value, field)];
  const namespace = nameOf(value, field);
  return listAt(value, 'tools', `${field}.tools`).map((inner, at) => {
    const innerField = `${field}.tools[${at}]`;
    if (!isObject(inner)) throw malformed(innerField, 'expected an object');
    const tool = readTool(inner, innerField);
    return { ...tool, name: qualifiedName(namespace, tool.name) };
  });
}

function readTool(value: JsonObject, field: string): Tool {
  const type = textIn(value, 'type') ?? 'function';
  if (type === 'custom') return readFreeTool(value, field);
  if (type !== 'function') return { kind: 'hosted', name: textIn(value, 'name') ?? type };
  // Anthropic's name for it: such a tool would lose its arguments.
  if (value['parameters'] === undefined && value['input_schema'] !== undefined)
    throw malformed(`${field}.parameters`, 'expected a JSON schema');
  const schema = value['parameters'] ?? null;
  return {
    kind: 'function',
    name: nameOf(value, field),
    description: textIn(value, 'description'),
    schema: schema === null ? null : argumentsSchema(schema, `${field}.parameters`),
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
  if (value === undefined || value === null) return null;
  if (!isObject(value))
    throw malformed('tool_choice', 'expected auto, none, required or the name of a tool');
  const type = textIn(value, 'type') ?? '';
  if (type === 'function' || type === 'custom') {
    const name = qualifiedNameOf(value) ?? '';
    if (name === '') throw malformed('tool_choice.name', 'expected the name of a tool');
    return { kind: 'named', name };
  }
  if (type !== 'allowed_tools')
    throw untranslatable('tool_choice', `only OpenAI can run ${JSON.stringify(type)}`);
  const names = listIn(value, 'tools').map((tool) =>
    isObject(tool) ? (qualifiedNameOf(tool) ?? textIn(tool, 'type') ?? '') : '',
  );
  return { kind: 'allowed', names, isForced: value['mode'] === 'required' };
}

/** @param of a tool that is called, or chosen */
export function qualifiedNameOf(of: JsonObject): string | null {
  const name = textIn(of, 'name');
  return name === null ? null : qualifiedName(textIn(of, 'namespace'), name);
}

/** What a caller's tool is on its own wire, where other wires know it as something else. */
export interface OwnTool {
  readonly namespace: string | null;
  readonly name: string;
  /** It takes text as it is. */
  readonly isFree: boolean;
}

/** @param tools of a request @returns those that are something else elsewhere, by the name that they have there */
export function ownTools(tools: readonly unknown[]): ReadonlyMap<string, OwnTool> {
  return new Map(
    tools.flatMap((tool) => {
      if (!isObject(tool)) return [];
      const namespace = tool['type'] === 'namespace' ? textIn(tool, 'name') : null;
      const own = (namespace === null ? [tool] : listIn(tool, 'tools')).filter(isObject);
      return own.flatMap((one) => {
        const isFree = one['type'] === 'custom';
        const name = textIn(one, 'name');
        if (name === null || (namespace === null && !isFree)) return [];
        return [[qualifiedName(namespace, name), { namespace, name, isFree }] as const];
      });
    }),
  );
}

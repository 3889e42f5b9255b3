import type { Conversation, FunctionTool } from './conversation.ts';
import { type Losses, untranslatable } from './losses.ts';

/**
 * The tools that another wire can carry. One that its provider runs is left out and named beside others; alone, or asked for
 * by name, it is the question itself: without it the model would invent results.
 * @throws Refusal
 */
export function droppedHosted(
  { tools, toolChoice }: Conversation,
  losses: Losses,
): readonly FunctionTool[] {
  const carried = tools.filter((tool) => tool.kind === 'function');
  for (const tool of tools) {
    if (tool.kind === 'function') continue;
    const field = `tools.${tool.name}`;
    const isForced = toolChoice?.kind === 'named' && toolChoice.name === tool.name;
    if (carried.length === 0 || isForced)
      throw untranslatable(field, 'only the provider whose tool it is can run it');
    losses.drop(field);
  }
  return carried;
}

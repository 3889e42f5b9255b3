import htm from 'htm';
import { type Attributes, type ComponentChild, createElement, type VNode } from 'preact';

/** What a template may hold: text is always text, never HTML. */
export type Content = ComponentChild;

/** What the package's own types do not say of it as a module. */
interface Bindable {
  bind(create: typeof createElement): Template;
}

type Template = (strings: TemplateStringsArray, ...values: readonly unknown[]) => VNode;

/** Elements as a template; components are put in by `h`, which checks what they are given. */
export const html: Template = (htm as unknown as Bindable).bind(createElement);

/** A component and what it is given. */
export function h<Props>(
  component: (props: Props) => Content,
  props: Omit<NoInfer<Props>, 'children'> & Attributes,
  ...children: readonly Content[]
): VNode {
  const made: unknown = createElement(component as never, props as never, ...children);
  return made as VNode;
}

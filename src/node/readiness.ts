/** What `/readyz` says: whether traffic should come, and what whoever looks after the gateway ought to know. */

/** A named state of the node; `ready` alone decides about the status. */
interface NodeState {
  readonly name:
    | 'not_listening'
    | 'deny_set_pending'
    | 'grants_pending'
    | 'overlay_pending'
    | 'stdout_gone'
    | 'facts_nowhere';
  readonly says: string;
  /** Whether traffic may come all the same. */
  readonly ready: boolean;
}

/** What is known of the node's parts just now. */
export interface NodeFacts {
  readonly isListening: boolean;
  /** False while the first reading of the deny-set may still come in a moment. */
  readonly isDenySetSettled: boolean;
  /** False while it may become known in a moment what this node was granted of its budgets. */
  readonly areGrantsSettled: boolean;
  /** The same of what was made at run time. */
  readonly isOverlaySettled: boolean;
  readonly isStdoutGone: boolean;
  readonly hasSpill: boolean;
  /** Whether a usage fact that comes now will be kept. */
  readonly hasFactRoom: boolean;
  readonly factsLost: 'count' | 'refuse';
}

/** The states that hold, worst first; none is the normal one. */
function nodeStates(node: NodeFacts): readonly NodeState[] {
  const states: NodeState[] = [];
  const add = (name: NodeState['name'], ready: boolean, says: string): void => {
    states.push({ name, ready, says });
  };
  if (!node.isListening)
    add('not_listening', false, 'no worker takes connections: it starts or ends');
  if (!node.isDenySetSettled)
    add('deny_set_pending', false, 'NATS answers, and who is cut off is being read');
  if (!node.areGrantsSettled)
    add('grants_pending', false, 'what this node may spend of its budgets is being asked for');
  if (!node.isOverlaySettled)
    add('overlay_pending', false, 'NATS answers, and what was made at run time is being read');
  if (!node.hasFactRoom) {
    const refuses = node.factsLost === 'refuse';
    const then = refuses ? 'virtual keys get 503' : 'they are lost, and counted';
    add('facts_nowhere', !refuses, `usage facts have nowhere to go: ${then}`);
  }
  if (node.isStdoutGone) {
    const facts = node.hasSpill
      ? 'usage facts go to usage_spill_path'
      : 'there is no usage_spill_path';
    add('stdout_gone', true, `whoever read the log has gone: lines are dropped, ${facts}`);
  }
  return states;
}

/** Whether traffic may come, and the names of the states that hold. */
export function readyState(node: NodeFacts): { ready: boolean; states: string[] } {
  const states = nodeStates(node);
  return { ready: states.every(({ ready }) => ready), states: states.map(({ name }) => name) };
}

/** Of a page of plain text: the first line is the verdict, each other one a state. */
export function readyzPage(node: NodeFacts): { readonly ready: boolean; readonly text: string } {
  const states = nodeStates(node);
  const ready = states.every((state) => state.ready);
  const lines = states.map(({ name, says }) => `${name}: ${says}`);
  return { ready, text: `${[ready ? 'ready' : 'not ready', ...lines].join('\n')}\n` };
}

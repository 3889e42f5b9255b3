import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Node, Session } from './told.ts';

/** What every screen knows of who looks and what at. */
export interface Scene {
  readonly session: Session;
  readonly node: Node;
  /** IANA name: in it days begin and times are written. */
  readonly zone: string;
  /** Sends one sentence to the corner of the page, and to screen readers. */
  readonly say: (text: string) => void;
}

export const SceneContext = createContext<Scene | null>(null);

export function useScene(): Scene {
  const scene = useContext(SceneContext);
  if (scene === null) throw new Error('a screen stands outside of the scene');
  return scene;
}

const RANK = { viewer: 0, operator: 1, owner: 2 } as const;
export type Role = keyof typeof RANK;

/** @returns null where this role may; else the sentence that says why not */
export function whyNot({ session }: Scene, role: Role): string | null {
  if (RANK[session.role] >= RANK[role]) return null;
  const who = role === 'owner' ? 'an owner' : 'an operator or an owner';
  return `You are signed in as ${session.role}; this takes ${who}.`;
}

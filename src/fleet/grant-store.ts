/** Where grants stand: keys with revisions, written by whoever knows the last one. */
export interface GrantStore {
  /** Whether it answered when it was asked last, and there is a connection. */
  readonly isReachable: boolean;
  /**
   * @returns revision 0 and no text where there is nothing
   * @throws Error when there is no answer
   */
  read(key: string): Promise<{ readonly text: string | null; readonly revision: number }>;
  /**
   * @param revision on which it stands; 0: there is nothing yet
   * @returns the new revision; null: somebody else was faster, and nothing was written
   * @throws Error when there is no answer: it may have been written, or may be yet
   */
  write(key: string, text: string, revision: number): Promise<number | null>;
}

/** Takes a body, piece by piece: what stands between a peer's bytes and the other peer. */
export interface PieceSink {
  /**
   * @param piece lent: whoever keeps it copies it
   * @returns false to ask for no more for now; the piece is taken either way
   */
  push(piece: Buffer): boolean;
}

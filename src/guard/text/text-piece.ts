/** What of a run stands in one place: in an event, or in a document. */
export interface TextPiece {
  /** As it came, and then as each stage leaves it. */
  text: string;
  /** Something of it was changed, or stands in another piece now. */
  isChanged: boolean;
  readonly owner: PieceOwner;
}

export interface PieceOwner {
  /** No stage changes it any more. */
  settled(piece: TextPiece): void;
}

/**
 * What one guard does with a run, piece by piece. A stage passes on each piece once, in order, and behind it its end; what it has
 * not passed on is held.
 */
export interface RunStage {
  push(piece: TextPiece): void;
  /** The run is over: everything leaves. The next piece begins another one. */
  end(): void;
  /**
   * What is held has been held for too long, and leaves as it is known; the run goes on.
   * @returns whether any text left before it was known what it is a part of
   */
  flush(): boolean;
  /** Pieces wait for too long a row of them: their text goes on in the last one. */
  compact(): void;
  /** UTF-16 units that are kept. */
  readonly heldUnits: number;
}

/** Behind the last stage. */
export const LAST_STAGE: RunStage = {
  push(piece: TextPiece): void {
    piece.owner.settled(piece);
  },
  end(): void {},
  flush(): boolean {
    return false;
  },
  compact(): void {},
  heldUnits: 0,
};

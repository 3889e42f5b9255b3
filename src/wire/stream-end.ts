const ENDS = ['[DONE]', '"message_stop"}'];

/** The longest of them, and line ends behind the last event, a space or two. */
const TAIL_BYTES = 24;

/** Whether an event stream says in this piece that it is over. Others end behind an event like any other. */
export function endsStream(piece: Buffer): boolean {
  const tail = piece.toString('latin1', Math.max(0, piece.length - TAIL_BYTES));
  return ENDS.some((end) => tail.includes(end));
}

/**
 * Works through a list in a fixed number of lanes, each with something of its own (a connection, say).
 * Rejects with the first failure; the other lanes stop at their next item.
 */
export async function inLanes<Item, Own>(
  items: readonly Item[],
  lanes: number,
  open: () => Own,
  work: (item: Item, own: Own) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  let failed = false;
  const lane = async (): Promise<void> => {
    const own = open();
    try {
      for (const item of queue) {
        if (failed) return;
        await work(item, own);
      }
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

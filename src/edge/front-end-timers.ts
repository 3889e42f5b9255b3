/** How often the edge looks after its blocked writers and held uploads, in milliseconds. */
export const EDGE_TICK_MS = 1_000;

/** The front end's timers are 8 to 12 s; what keeps one from running out re-arms it every three ticks. */
export const REARM_TICKS = 3;

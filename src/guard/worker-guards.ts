import type { Deadlines } from '../ticker.ts';
import { JudgeCounts, JudgeTally } from './judges/judge-counts.ts';
import { ModuleQuestions, type ModuleWay } from './judges/module-judge.ts';
import { OpenHearings } from './logger/log-listener.ts';
import type { LogRecord } from './logger/log-messages.ts';
import { LogRoom } from './logger/log-room.ts';

/** How a worker reaches what guards have on the main thread. */
export interface GuardWay extends ModuleWay {
  /** An exchange that was heard, for the log. */
  record(record: LogRecord): void;
  /** A line of the node's log, for whoever has to mend something. */
  warn(event: string, fields: Readonly<Record<string, string | number | null>>): void;
}

/** What the guards of a worker share, whatever its configuration becomes. */
export class WorkerGuards {
  readonly deadlines: Deadlines;
  readonly tally: JudgeTally;
  readonly questions: ModuleQuestions;
  readonly room: LogRoom;
  readonly open = new OpenHearings();
  readonly record: (record: LogRecord) => void;

  constructor(
    memory: { readonly judgeCounts: SharedArrayBuffer; readonly logRoom: SharedArrayBuffer },
    way: GuardWay,
    deadlines: Deadlines,
  ) {
    this.deadlines = deadlines;
    this.tally = new JudgeTally(new JudgeCounts(memory.judgeCounts), (event, fields) =>
      way.warn(event, fields),
    );
    this.questions = new ModuleQuestions(way, deadlines);
    this.room = new LogRoom(memory.logRoom);
    this.record = (record) => way.record(record);
  }
}

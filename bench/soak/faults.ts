/** Of one kind of fault; a broken gateway would else fill memory and screen. */
const KEPT = 20;
/** Of one text: facts and orders are printed whole, bodies are not. */
const LONGEST = 1_200;

/** What went wrong in a run: the first ones in words, all of them counted. */
export class Faults {
  readonly kept: string[] = [];
  count = 0;

  readonly add = (text: string): void => {
    this.count++;
    if (this.kept.length < KEPT) this.kept.push(text.slice(0, LONGEST));
  };
}

import { expect, it } from 'vitest';
import { UnseenAnswers } from '../../../src/exchange/unseen-answers.ts';
import { Deadlines, type Due } from '../../../src/ticker.ts';

class Answer implements Due {
  dueSlot = -1;
  readonly #unseen: UnseenAnswers;
  ended = 0;
  broken = 0;
  fails = false;

  constructor(unseen: UnseenAnswers) {
    this.#unseen = unseen;
  }

  onDue(): void {
    this.#unseen.leave(this);
    this.ended++;
    if (this.fails) throw new Error('broken');
  }

  onDueBroken(): void {
    this.broken++;
  }
}

it('takes no more than its bound, and again when one has left', () => {
  const unseen = new UnseenAnswers(new Deadlines(20));
  const taken: Answer[] = [];
  for (;;) {
    const answer = new Answer(unseen);
    if (!unseen.enter(answer)) break;
    taken.push(answer);
  }
  expect(taken.length).toBe(256);
  taken[0]?.onDue();
  expect(unseen.enter(new Answer(unseen))).toBe(true);
  unseen.endAll();
});

it('ends all of them, although one breaks, and none waits for its time any more', () => {
  const deadlines = new Deadlines(20);
  const unseen = new UnseenAnswers(deadlines);
  const answers = [new Answer(unseen), new Answer(unseen), new Answer(unseen)];
  for (const answer of answers) unseen.enter(answer);
  const [first] = answers;
  if (first !== undefined) first.fails = true;
  unseen.endAll();
  expect(answers.map(({ ended, broken }) => [ended, broken])).toEqual([
    [1, 1],
    [1, 0],
    [1, 0],
  ]);
  expect(deadlines.waiting).toBe(0);
});

/** Ids of output items of ours. They say so, since OpenAI looks for the thoughts that it is sent by their ids. */

/** @param answerHash what makes them this answer's alone */
export function itemId(prefix: string, answerHash: string, index: number): string {
  return `${prefix}_sluice_${answerHash}_${index}`;
}

/** Of a thought that another provider's model had. */
export const OWN_THOUGHT = /^rs_sluice_/;

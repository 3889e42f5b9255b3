/** Pico-dollars as USD, for people: six decimals are a ten-thousandth of a cent. */
export function shownUsd(pico: number): string {
  return `$${(pico / 1e12).toFixed(6)}`;
}

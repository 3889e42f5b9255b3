/** Light or dark: the system's word, unless somebody chose here. The choice stays in this browser. */

export const THEMES = { '': 'As the system', light: 'Light', dark: 'Dark' } as const;
export type Theme = keyof typeof THEMES;

const NAME = 'sluice-theme';

export function chosenTheme(): Theme {
  try {
    const kept = localStorage.getItem(NAME) ?? '';
    return Object.hasOwn(THEMES, kept) ? (kept as Theme) : '';
  } catch {
    return '';
  }
}

export function applyTheme(): void {
  const theme = chosenTheme();
  if (theme === '') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function chooseTheme(theme: Theme): void {
  try {
    localStorage.setItem(NAME, theme);
  } catch {
    // A browser that keeps nothing shows it until the page is loaded again.
  }
  if (theme === '') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

import { render } from 'preact';
import { h } from './html.ts';
import { Dashboard } from './shell.ts';
import { applyTheme } from './theme.ts';

applyTheme();
const place = document.getElementById('app');
if (place !== null) render(h(Dashboard, {}), place);

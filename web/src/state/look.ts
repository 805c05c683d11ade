// Language and theme: what the browser says, until the user chooses.
import { effect, signal } from '@preact/signals';
import { stored } from './stored';

type Theme = 'auto' | 'light' | 'dark';
const isTheme = (value: unknown): value is Theme => ['auto', 'light', 'dark'].includes(value as string);

export const theme = stored<Theme>('theme', 'auto', isTheme);

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener('change', (event) => (systemIsDark.value = event.matches));

export const isDark = () => (theme.value === 'auto' ? systemIsDark.value : theme.value === 'dark');

effect(() => {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  const colour = isDark() ? '#141517' : '#f7f5f2';
  document.querySelector('meta[name=theme-color]')?.setAttribute('content', colour);
});

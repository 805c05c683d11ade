// Texts of the page in the chosen language. `en` has all keys; TypeScript refuses a dictionary that lacks one.
import { effect } from '@preact/signals';
import { stored } from '../state/stored';
import { en } from './en';
import { zh } from './zh';

export type Language = 'en' | 'zh';
export type TextKey = keyof typeof en;

const isLanguage = (value: unknown): value is Language => value === 'en' || value === 'zh';
const preferred = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? 'en';

export const language = stored<Language>(
  'language',
  preferred.toLowerCase().startsWith('zh') ? 'zh' : 'en',
  isLanguage,
);

effect(() => {
  document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en';
});

// The text of a key, {words} in braces replaced.
export function t(key: TextKey, words: Record<string, string | number> = {}): string {
  const text = language.value === 'zh' ? zh[key] : en[key];
  return text.replace(/\{(\w+)\}/g, (brace, name: string) => String(words[name] ?? brace));
}

// A name out of the server's tables that the page may know a text for, such as "expert.structure".
export function known(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in en ? t(key as TextKey) : name;
}

export const timeText = (iso: string) =>
  new Intl.DateTimeFormat(language.value === 'zh' ? 'zh-CN' : 'en', {
    dateStyle: 'medium',
    timeStyle: 'short',
  }).format(new Date(iso));

export function secondsText(seconds: number): string {
  if (seconds < 60) return t('time.seconds', { s: Math.max(1, Math.round(seconds)) });
  return t('time.minutes', { m: Math.floor(seconds / 60), s: Math.round(seconds % 60) });
}

// 10^9 operations.
export const operationsText = (gflop: number) =>
  gflop < 1000 ? `${gflop.toFixed(gflop < 10 ? 1 : 0)} GFLOP` : `${(gflop / 1000).toFixed(1)} TFLOP`;

export const bytesText = (bytes: number) =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

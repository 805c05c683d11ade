// Which part of the page is seen, and what the stage shows.
import { signal } from '@preact/signals';

type Page = 'draw' | 'gallery';
type Focus = { kind: 'none' } | { kind: 'job'; id: string } | { kind: 'picture' | 'grid'; id: string };

export const page = signal<Page>('draw');
export const focus = signal<Focus>({ kind: 'none' });
// Whether the stage goes on to the next job that begins: until the user looks at a picture of his own choice.
export const following = signal(true);
export const compared = signal<[string, string] | null>(null);
export const comparing = signal<string | null>(null); // the first of two, while the second is chosen

// What assistive technology reads out, one sentence at a time.
export const announced = signal('');
export const announce = (text: string) => (announced.value = text);

// A short message at the edge of the page; errors stay until they are dismissed.
export interface Notice {
  key: number;
  text: string;
  hint?: string;
  isError: boolean;
}

export const notices = signal<Notice[]>([]);
let lastNotice = 0;
const kNoticeMs = 6000;

export function notify(text: string, options: { hint?: string; isError?: boolean } = {}): void {
  const notice = { key: ++lastNotice, text, hint: options.hint, isError: options.isError ?? false };
  notices.value = [...notices.value.slice(-2), notice];
  if (!notice.isError) setTimeout(() => dropNotice(notice.key), kNoticeMs);
}

export const dropNotice = (key: number) =>
  (notices.value = notices.value.filter((notice) => notice.key !== key));

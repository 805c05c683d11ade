// Signals that survive a reload, in the browser's localStorage. Without it (a private window) they live as long as
// the page.
import { effect, signal, type Signal } from '@preact/signals';

export function stored<T>(key: string, initial: T, check: (value: unknown) => value is T): Signal<T> {
  const name = `pangu-draw.${key}`;
  const value = signal(read(name, initial, check));
  effect(() => {
    try {
      localStorage.setItem(name, JSON.stringify(value.value));
    } catch {
      // Full or forbidden: nothing that the user asked for is lost.
    }
  });
  return value;
}

function read<T>(name: string, initial: T, check: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(name) ?? 'null');
    return check(value) ? value : initial;
  } catch {
    return initial;
  }
}

// Whether the server answers at all; what the browser keeps can be seen without it.
import { signal } from '@preact/signals';

export const offline = signal(false);

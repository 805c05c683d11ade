// Line icons on a grid of 24, drawn for this page. They say nothing to assistive technology; their button does.
const kPaths = {
  draw: 'M4 20l4-1L19 8a2.1 2.1 0 0 0-3-3L5 16l-1 4zM14 7l3 3',
  together: 'M9 15a6 6 0 1 1 0-12 6 6 0 0 1 0 12zM15 21a6 6 0 1 1 0-12 6 6 0 0 1 0 12z',
  gallery: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  dice: 'M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5c0-1.1.9-2 2-2zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01',
  lock: 'M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3',
  unlock: 'M6 11h12v9H6zM8 11V8a4 4 0 0 1 7.7-1.5',
  close: 'M6 6l12 12M18 6L6 18',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  repeat: 'M4 11a8 8 0 0 1 14-4.5L20 9M20 4v5h-5M20 13a8 8 0 0 1-14 4.5L4 15M4 20v-5h5',
  vary: 'M4 7h3c5 0 5 10 10 10h3M4 17h3c2 0 3.2-1.6 4-3.5M13 10.5C13.8 8.6 15 7 17 7h3M17 4l3 3-3 3M17 14l3 3-3 3',
  start: 'M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 4M15.5 9h.01',
  compare: 'M12 3v18M4 6h8M4 18h8M4 6v12M16 6h4v12h-4',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  brush: 'M14 4l6 6-8 6-4-4 6-8zM8 12l4 4c-1 3-4 4-8 4 2-2 1-6 4-8z',
  eraser: 'M4 15l9-10 7 6-8 9H8l-4-5zM9 9l7 6',
  undo: 'M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10H9',
  redo: 'M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h5',
  sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M19 5l-1.4 1.4M6.4 17.6L5 19',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z',
  chevron: 'M9 6l6 6-6 6',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4M9 14l3-3 3 3M12 11v7',
  swap: 'M7 4L3 8l4 4M3 8h14M17 12l4 4-4 4M21 16H7',
  curve: 'M3 6c6 0 6 12 12 12h6',
  info: 'M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM12 11v5M12 8h.01',
  warning: 'M12 4l9 16H3L12 4zM12 10v5M12 17.5h.01',
  check: 'M5 12l5 5 9-10',
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={kPaths[name]} />
    </svg>
  );
}

// Shapes of 16 by 16. Each status has one of its own, so that nobody needs colours to tell them apart.
import { html } from './lib.js';

const solid = {
  good: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.6 5.3-4.2 4.9a.9.9 0 0 1-1.3.1L4.2 9.5a.9.9 0 0 1 1.2-1.3l1.2 1.1 3.6-4.2a.9.9 0 0 1 1.4 1.2Z',
  bad: 'M8 .6 15.4 8 8 15.4.6 8 8 .6ZM5.9 4.8 4.8 5.9 6.9 8l-2.1 2.1 1.1 1.1L8 9.1l2.1 2.1 1.1-1.1L9.1 8l2.1-2.1-1.1-1.1L8 6.9 5.9 4.8Z',
  running: 'M3 2.2c0-.9 1-1.5 1.8-1l9 5.8c.7.5.7 1.5 0 2l-9 5.8c-.8.5-1.8-.1-1.8-1V2.2Z',
  stopped: 'M3.5 2h9c.8 0 1.5.7 1.5 1.5v9c0 .8-.7 1.5-1.5 1.5h-9c-.8 0-1.5-.7-1.5-1.5v-9C2 2.7 2.7 2 3.5 2Z',
  timeout: 'M4 1h8a.8.8 0 0 1 0 1.5h-.3v1.7c0 1.3-.7 2.4-1.7 3.1l-.7.7.7.7c1 .7 1.7 1.8 1.7 3.1v1.7h.3a.8.8 0 0 1 0 1.5H4a.8.8 0 0 1 0-1.5h.3v-1.7c0-1.3.7-2.4 1.7-3.1l.7-.7-.7-.7a3.8 3.8 0 0 1-1.7-3.1V2.5H4A.8.8 0 0 1 4 1Z',
  dead: 'M5 1h6l4 4v6l-4 4H5l-4-4V5l4-4Zm-.3 6.2v1.6h6.6V7.2H4.7Z',
};

const lines = {
  waiting: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 2.5V8l2.5 1.5',
  never: 'M8 3.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9Z',
  unknown: 'M5.5 6a2.5 2.5 0 1 1 3.7 2.2c-.7.4-1.2.9-1.2 1.8m0 2.5v.1',
  retried: 'M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3',
  entered: 'M2 8h8M7 4.5 10.5 8 7 11.5M13.5 3v10',
  close: 'm4 4 8 8m0-8-8 8',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9Zm3.3 7.8L14 14',
  open: 'm6 3.5 4.5 4.5L6 12.5',
  opened: 'm3.5 6 4.5 4.5L12.5 6',
  flight: 'M2 5h9M8.5 2.5 11 5 8.5 7.5M14 11H5m2.5-2.5L5 11l2.5 2.5',
  table: 'M2 3h12v10H2V3Zm0 3.5h12M6.5 6.5V13',
  lock: 'M4 7.5h8v6H4v-6Zm1.5 0V5a2.5 2.5 0 0 1 5 0v2.5',
};

/** An icon is decoration: the word beside it says the same. */
export function Icon({ name }) {
  const path = solid[name] || lines[name];
  return html`<svg class=${`icon icon-${name} ${solid[name] ? 'icon-solid' : 'icon-line'}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${path} fill-rule="evenodd" /></svg>`;
}

/** An icon inside of another drawing. */
export function IconAt({ name, x, y, size = 14, tone }) {
  return html`<svg x=${x} y=${y} width=${size} height=${size} viewBox="0 0 16 16" class=${`${solid[name] ? 'icon-solid' : 'icon-line'} tone-${tone}`} aria-hidden="true">
    <path d=${solid[name] || lines[name]} fill-rule="evenodd" /></svg>`;
}

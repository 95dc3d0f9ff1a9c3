// The state machine as a drawing, each state with what it did.
import { html, useMemo, useRef } from './lib.js';
import { Icon, IconAt } from './icons.js';
import { count, duration, pathKey, statusOf, statusOfState } from './format.js';
import { curve, layoutMachine } from './graph-layout.js';
import { textScale, useWidth } from './ui.js';

const measure = () => {
  const context = document.createElement('canvas').getContext('2d');
  context.font = '600 14px system-ui, sans-serif';
  return (text) => context.measureText(text.slice(0, 80)).width;
};

/** Shortens a name so that it fits into a width. */
function fit(text, width, widthOf) {
  if (widthOf(text) <= width && text.length <= 80) return text;
  let end = Math.min(text.length, 60);
  while (end > 1 && widthOf(text.slice(0, end) + '…') > width) end--;
  return text.slice(0, end) + '…';
}

/** The counts of a state that are not 0: [icon, tone, number, word]. */
export const countsOf = (state) => (state ? [
  ['good', 'good', state.succeeded, 'succeeded'],
  ['bad', 'bad', state.failed, 'failed'],
  ['retried', 'wait', state.retried, 'retried'],
  ['running', 'busy', state.running, 'running'],
  ['stopped', 'still', state.aborted, 'stopped'],
].filter(([, , n]) => n > 0) : []);

const times = (n) => (n === 1 ? 'once' : `${count(n)} times`);

/** What a state did, in words. */
export function describe(name, type, state) {
  if (!state || !state.entered) return `${name}, ${type}: not entered`;
  const about = state.estimated ? 'about ' : '';
  const counts = countsOf(state).map(([, , n, word]) => `${about}${count(n)} ${word}`);
  return `${name}, ${type}: entered ${about}${times(state.entered)}${counts.length ? ', ' + counts.join(', ') : ''}`;
}

let widthOfName;

/**
 * The layout of a run's state machine. Map states that were never entered are drawn without their inside, unless every one is wanted.
 * @returns {import('./graph-layout.js').Layout & {folded: number}}
 */
export function useLayout(doc, every) {
  widthOfName = widthOfName || measure();
  const entered = every ? '' : doc.states.map((s) => pathKey(s.path)).join();
  const text = JSON.stringify(doc.definition);
  return useMemo(() => {
    const known = new Set(doc.states.map((s) => pathKey(s.path)));
    let folded = 0;
    const layout = layoutMachine(doc.definition || {}, widthOfName, (path) => {
      const open = every || known.has(pathKey(path));
      if (!open) folded++;
      return open;
    });
    return { ...layout, folded };
  }, [text, entered, every]);
}

/**
 * @param {object} props
 * @param {import('./graph-layout.js').Layout} props.layout
 * @param {import('./run-view.js').State[]} props.states
 * @param {string} [props.selected] key of the path
 * @param {(path: string[]) => void} props.onSelect
 */
export function Graph({ layout, states, selected, onSelect }) {
  const box = useRef(null);
  const width = useWidth(box);
  const widthOf = widthOfName;
  const byKey = useMemo(() => new Map(states.map((s) => [pathKey(s.path), s])), [states]);
  const scale = width ? Math.min(textScale(), Math.max(0.62, (width - 2) / layout.w)) : 1;
  const used = (path, to) => to && byKey.get(pathKey([...path, to]));

  const drawMachine = (machine, path, x, y) => html`<g transform=${`translate(${x} ${y})`}>
    ${machine.edges.map((e) => html`<path key=${e.from + '\n' + e.to + e.kind} d=${curve(e.points)} marker-end="url(#arrow)"
      class=${`edge edge-${e.kind} ${used(path, e.to) && (e.from === 'start' || used(path, e.from)) ? 'edge-used' : ''}`} />`)}
    <circle class="graph-start" cx=${machine.start.x} cy=${machine.start.y} r="6" />
    ${[...machine.nodes].sort((a, b) => a.y - b.y || a.x - b.x).map((n) => drawNode(n))}</g>`;

  const drawNode = (n) => {
    const state = byKey.get(n.key);
    const status = statusOf(statusOfState(state));
    const select = () => onSelect(n.path);
    let at = 34;
    const counts = countsOf(state).map(([icon, tone, number]) => {
      const label = (state.estimated ? '≈' : '') + count(number);
      const x = at;
      at += 22 + widthOf(label) * 0.95;
      return html`<g key=${icon}><${IconAt} name=${icon} tone=${tone} x=${x} y="29" size="13" /><text class="node-count" x=${x + 17} y="40">${label}</text></g>`;
    });
    let inner = 0;
    return html`<g key=${n.key} transform=${`translate(${n.x} ${n.y})`}>
      ${n.inside.length > 0 && html`<rect class="map-box" width=${n.w} height=${n.h} rx="12" />`}
      <g class=${`node ${n.inside.length ? 'node-map' : ''} node-${statusOfState(state)} ${selected === n.key ? 'node-selected' : ''}`} role="button" tabindex="0"
          aria-label=${describe(n.name, n.type, state)} aria-pressed=${String(selected === n.key)} onClick=${select}
          onKeyDown=${(e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); select(); } }}>
        <rect class="node-box" width=${n.w} height=${n.inside.length ? 48 : n.h} rx=${n.inside.length ? 12 : 9} />
        <${IconAt} name=${status.icon} tone=${status.tone} x="11" y="11" size="15" />
        <text class="node-name" x="34" y="23">${fit(n.name, n.w - 44, widthOf)}<title>${n.name}</title></text>
        ${counts.length ? counts : html`<text class="node-note" x="34" y="40">${state ? `entered ${times(state.entered)}` : `${n.type} · not entered`}</text>`}
      </g>
      ${n.inside.map((machine) => {
    const x = padded(n, inner);
    inner += machine.w + 18;
    return drawMachine(machine, n.path, x, 50);
  })}</g>`;
  };
  const padded = (n, done) => {
    const total = n.inside.reduce((sum, l) => sum + l.w, 0) + 18 * (n.inside.length - 1);
    return (n.w - total) / 2 + done;
  };

  return html`<div class="graph" ref=${box} tabindex="0" role="group" aria-label="State machine">
      <svg width=${Math.round(layout.w * scale)} height=${Math.round(layout.h * scale)} viewBox=${`0 0 ${Math.ceil(layout.w)} ${Math.ceil(layout.h)}`}>
        <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 .5 8 4 0 7.5Z" /></marker></defs>
        ${drawMachine(layout, [], 0, 0)}
      </svg></div>
    <ul class="legend" aria-label="What the signs mean">
      ${[['good', 'good', 'succeeded'], ['bad', 'bad', 'failed'], ['retried', 'wait', 'retried'], ['running', 'busy', 'running now'], ['stopped', 'still', 'stopped'], ['never', 'still', 'not entered']]
    .map(([icon, tone, word]) => html`<li><span class=${`tone-${tone}`}><${Icon} name=${icon} /></span>${word}</li>`)}
      <li><svg class="legend-line" viewBox="0 0 28 8" aria-hidden="true"><path class="edge edge-error" d="M1 4H27" /></svg>on error</li>
    </ul>`;
}

/** In a narrow window, each cell shows its label, and empty ones are left out. */
const cell = (label, text) => html`<td class=${text ? 'num' : 'num none'} data-label=${label}>${text || '–'}</td>`;

/** The same as a table. */
export function StatesTable({ states, onSelect }) {
  // Columns of zeros are left out.
  const columns = [
    ['Entered', (s) => s.entered, true], ['Failed', (s) => s.failed], ['Retried', (s) => s.retried], ['Running', (s) => s.running], ['Stopped', (s) => s.aborted],
  ].filter(([, value, always]) => always || states.some((s) => value(s) > 0));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="States"><table class="table states-table"><caption class="hidden">States, in the order of their first entry</caption><thead><tr>
      <th scope="col">State</th>${columns.map(([name]) => html`<th scope="col" class="num">${name}</th>`)}<th scope="col" class="num">Mean time</th><th scope="col" class="num">Longest</th></tr></thead>
    <tbody>${states.map((s) => {
    const ended = s.succeeded + s.failed + s.aborted;
    const about = s.estimated ? '≈' : '';
    const status = statusOf(statusOfState(s));
    return html`<tr key=${pathKey(s.path)}><th scope="row" class=${`depth-${Math.min(3, s.path.length - 1)}`}>
        <button type="button" class="link" onClick=${() => onSelect(s.path)}><span class=${`tone-${status.tone}`}><${Icon} name=${status.icon} /></span><bdi>${s.path[s.path.length - 1]}</bdi><span class="hidden">, ${status.word}</span></button></th>
      ${columns.map(([name, value]) => cell(name, value(s) ? about + count(value(s)) : ''))}${cell('Mean time', ended ? duration(s.total_ms / ended) : '')}${cell('Longest', ended ? duration(s.most_ms) : '')}</tr>`;
  })}</tbody></table></div>`;
}

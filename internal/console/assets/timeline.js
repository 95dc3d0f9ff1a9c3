// When the states ran: a waterfall. Iterations and shards are below their Map state.
import { html, useMemo, useState } from './lib.js';
import { Icon } from './icons.js';
import { count, duration, nameOf, pathKey, plural, statusOf } from './format.js';
import { Choose, Empty, Section, beginning, useNarrow } from './ui.js';
import { Plot } from './plot.js';
import { VirtualRows } from './virtual.js';
import { mapOfItems } from './events-of.js';

/** Round steps between the marks of an axis: at most n of them. */
export function marks(from, to, n) {
  const rough = (to - from) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const out = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) out.push(t);
  return out;
}

/** The text of a mark: in seconds, with as many decimals as the step needs. */
const markText = (ms, step) => (step >= 10000 ? duration(ms) : `${(ms / 1000).toFixed(step >= 1000 ? 0 : Math.min(3, Math.ceil(-Math.log10(step / 1000))))} s`);

/**
 * The rows of the waterfall: each span of a Map state, then its iterations or shards.
 * @param {import('./run-view.js').Span[]} spans
 * @returns {{span: object, of?: object, children: object[]}[]} the states in their order
 */
export function groupSpans(spans) {
  const groups = [];
  const byPath = new Map();
  const inner = [];
  for (const span of spans) {
    if (span.index !== undefined || span.shard) inner.push(span);
    else {
      const group = { span, children: [] };
      groups.push(group);
      const key = pathKey(span.path);
      byPath.set(key, [...(byPath.get(key) || []), group]);
    }
  }
  for (const span of inner) {
    const maps = byPath.get(pathKey(span.path));
    if (!maps) {
      const group = { span: { path: span.path, start: span.start, end: span.end, status: span.status, made: true }, children: [span] };
      groups.push(group);
      byPath.set(pathKey(span.path), [group]);
      continue;
    }
    (maps.findLast((g) => g.span.start <= span.start) || maps[0]).children.push(span);
  }
  groups.sort((a, b) => a.span.start - b.span.start);
  for (const g of groups) g.children.sort((a, b) => a.start - b.start || (a.index ?? 0) - (b.index ?? 0));
  return groups;
}

const nameOfChild = (span, item) => (span.shard ? nameOf(span.shard) : item ? `Event ${item.sequence_no}` : `Iteration ${span.index}`);

/**
 * The status of a span. An iteration succeeds if its event is in the retry queue or in the dead-letter queue: then the status is that of
 * the event.
 */
function statusOfSpan(span, items) {
  const item = items.get(span);
  return span.status === 'succeeded' && item && item.status !== 'inserted' && item.status !== 'unknown' ? item.status : span.status;
}

const failures = ['failed', 'timed_out', 'parked', 'released', 'returning', 'buried'];
const filters = {
  failed: (s, items) => failures.includes(statusOfSpan(s, items)),
  stopped: (s, items) => statusOfSpan(s, items) === 'aborted',
  running: (s) => s.status === 'running',
  retried: (s) => s.retries > 0,
};

/** What the filters are about: the shards of a run or its events, because people look for these. A run that has none yet has states. */
function unitOf(doc) {
  const map = pathKey(mapOfItems(doc));
  if (doc.timeline.spans.some((s) => s.shard)) return { unit: 'shards', isUnit: (s) => !!s.shard };
  const isUnit = (s) => s.index !== undefined && pathKey(s.path) === map;
  return doc.timeline.spans.some(isUnit) ? { unit: 'events', isUnit } : { unit: 'states', isUnit: () => true };
}

/** The events of the iterations, by span. */
function itemsOfSpans(doc) {
  const map = pathKey(mapOfItems(doc));
  const byIndex = new Map(doc.items.rows.map((item) => [item.index, item]));
  return new Map(doc.timeline.spans.filter((s) => s.index !== undefined && byIndex.has(s.index) && pathKey(s.path) === map).map((s) => [s, byIndex.get(s.index)]));
}

/**
 * @param {object} props
 * @param {import('./run-view.js').Document} props.doc
 * @param {(span: object) => void} props.onSelect
 */
export function Timeline({ doc, onSelect }) {
  const narrow = useNarrow();
  const [filter, setFilter] = useState('all');
  const [order, setOrder] = useState('start');
  const [closed, setClosed] = useState({});
  const [window_, setWindow] = useState(null);
  const groups = useMemo(() => groupSpans(doc.timeline.spans), [doc]);
  const items = useMemo(() => itemsOfSpans(doc), [doc]);
  const { unit, isUnit } = useMemo(() => unitOf(doc), [doc]);
  const end = Math.max(doc.run.milliseconds, 1, doc.timeline.spans.reduce((most, s) => Math.max(most, s.end), 0));
  const [from, to] = window_ || [0, end];
  const span = to - from;

  const rows = useMemo(() => {
    const out = [];
    groups.forEach((g, i) => {
      const passes = (s) => filter === 'all' || (isUnit(s) && filters[filter](s, items));
      const children = g.children.filter(passes);
      if (!children.length && !passes(g.span)) return;
      if (order === 'longest') children.sort((a, b) => length(b, end) - length(a, end));
      out.push({ span: g.span, group: i, children: g.children.length, shown: children.length });
      if (!closed[i]) for (const child of children) out.push({ span: child, child: true });
    });
    return out;
  }, [groups, items, isUnit, filter, order, closed]);

  const zoom = (factor, shift = 0) => {
    const width = Math.min(end, Math.max(10, span * factor));
    const middle = (from + to) / 2 + shift * span;
    const left = Math.max(0, Math.min(end - width, middle - width / 2));
    setWindow(width >= end ? null : [left, left + width]);
  };
  const onKeyDown = (e) => {
    if (e.target.closest('input, select, textarea') || e.ctrlKey || e.metaKey || e.altKey) return;
    const action = { '+': [0.5], '=': [0.5], '-': [2], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25], 0: [1e9] }[e.key];
    if (!action) return;
    e.preventDefault();
    zoom(...action);
  };

  const counts = useMemo(() => Object.fromEntries(Object.keys(filters).map((k) => [k, doc.timeline.spans.filter((s) => isUnit(s) && filters[k](s, items)).length])), [doc]);
  const options = [
    ['failed', `Failed ${unit}`], ['stopped', `Stopped ${unit}`], ['running', `Running ${unit}`], ['retried', 'With retries'],
  ].filter(([key]) => key === 'failed' || key === filter || counts[key]).map(([key, label]) => ({ key, label, count: count(counts[key]) }));
  const axis = marks(from, to, narrow ? 3 : 8);
  const at = (ms) => ((Math.min(to, Math.max(from, ms)) - from) / span) * 100;
  const ruler = html`<div class="rows-row timeline-axis" aria-hidden="true"><div></div><div class="timeline-bars">${axis.map((t) => html`
    <span class="timeline-mark" style=${{ left: at(t) + '%' }}>${markText(t, axis[1] - axis[0])}</span>`)}</div><div></div></div>`;

  const lines = html`<div class="rows-row timeline-lines" aria-hidden="true"><div></div><div class="timeline-bars">${axis.map((t) => html`<i class="timeline-line" style=${{ left: at(t) + '%' }}></i>`)}</div><div></div></div>`;

  const row = (i) => {
    const r = rows[i];
    const s = r.span;
    const stop = s.end < 0 ? Math.max(end, s.start) : s.end;
    const item = items.get(s);
    const status = statusOf(statusOfSpan(s, items));
    const visible = stop >= from && s.start <= to;
    const took = duration(stop - s.start);
    const name = r.child ? nameOfChild(s, item) : s.path[s.path.length - 1];
    const words = `${name}: ${status.word.toLowerCase()}, ${took}, began after ${duration(s.start)}${s.retries ? ', ' + plural(s.retries, 'retry', 'retries') : ''}${s.error || item?.error ? ', ' + beginning(s.error || item.error) : ''}`;
    return {
      className: r.child ? 'timeline-child' : 'timeline-state',
      cells: [
        html`<span class="timeline-name">${r.children > 0 && html`<button type="button" class="toggle" aria-expanded=${String(!closed[r.group])} aria-label=${`${closed[r.group] ? 'Show' : 'Hide'} what is inside ${name}`}
            onClick=${() => setClosed({ ...closed, [r.group]: !closed[r.group] })}><${Icon} name=${closed[r.group] ? 'open' : 'opened'} /></button>`}
          <button type="button" class="link" aria-label=${words} title=${words} onClick=${() => onSelect(s)}><span class=${`tone-${status.tone}`}><${Icon} name=${status.icon} /></span><bdi>${name}</bdi></button>
          ${r.children > 0 && html`<span class="note">${count(r.shown)}</span>`}</span>`,
        html`<div class="timeline-bars" aria-hidden="true">${visible && html`<div class=${`bar bar-${status.tone} ${s.steps && s.steps.length ? 'bar-steps' : ''}`} style=${{ left: at(s.start) + '%', width: Math.max(0.15, at(stop) - at(s.start)) + '%' }}></div>
            ${(s.steps || []).filter(([, a, b]) => (b < 0 ? stop : b) > a).map(([, a, b], n) => html`<div class=${`step step-${n % 2} bar-${status.tone}`} style=${{ left: at(a) + '%', width: Math.max(0.1, at(b < 0 ? stop : b) - at(a)) + '%' }}></div>`)}`}</div>`,
        html`<span class="num">${took}</span>`,
      ],
    };
  };

  const series = html`<div class="map-series">${doc.timeline.maps.map((m) => html`<${MapSeries} key=${pathKey(m.path) + m.start} map=${m} shards=${!!doc.shards} />`)}</div>`;
  return html`<${Section} id="timeline" title="Timeline" className="wide" note=${doc.timeline.omitted > 0 ? `${count(doc.timeline.omitted)} more ${doc.shards ? 'shards' : 'events'} are not shown one by one. The plots count them all.` : ''}
      tools=${html`<${Choose} label="What is shown" value=${filter} onChange=${setFilter} options=${[{ key: 'all', label: 'All' }, ...options]} />
        <label class="pick">Order <select value=${order} onChange=${(e) => setOrder(e.currentTarget.value)}><option value="start">first started first</option><option value="longest">longest first</option></select></label>
        <span class="zoom" role="group" aria-label="Zoom">${zoomButton('Zoom in', '+', true, () => zoom(0.5))}${zoomButton('Zoom out', '−', window_, () => zoom(2))}
          ${zoomButton('Earlier', '◂', window_ && from > 0, () => zoom(1, -0.25))}${zoomButton('Later', '▸', window_ && to < end, () => zoom(1, 0.25))}${zoomButton('Fit', 'Fit', window_, () => setWindow(null))}</span>`}>
    ${doc.timeline.maps.length > 0 && (narrow ? html`<details class="more"><summary>Details of the Map states</summary>${series}</details>` : series)}
    ${rows.length ? html`<div onKeyDown=${onKeyDown}><${VirtualRows} label="Timeline" className="timeline" head=${['State', 'When', 'Duration']} count=${rows.length} height=${narrow ? 46 : 28} row=${row} top=${ruler} behind=${lines} /></div>`
    : html`<${Empty}>${filter === 'all' ? 'No state was entered yet.' : `None of the ${unit} is like this.`}<//>`}
  <//>`;
}

/** A button that cannot be used keeps the focus: otherwise the focus would be lost when a zoom comes to its end. */
const zoomButton = (name, text, on, onClick) => html`<button type="button" aria-label=${name} aria-disabled=${String(!on)} onClick=${() => on && onClick()}>${text}</button>`;

const length = (span, end) => (span.end < 0 ? end : span.end) - span.start;

/** How the iterations of a Map went on, and how long they took. */
function MapSeries({ map, shards }) {
  const lines = useMemo(() => {
    const x = map.series.map((_, i) => (map.start + (i + 1) * map.step_ms) / 1000);
    return {
      x,
      lines: [
        { name: 'running', color: '--busy-fill', values: map.series.map((b) => b[0]), fill: true },
        { name: 'ended', color: '--good-fill', values: map.series.map((b) => b[1]), dash: [6, 3] },
        { name: 'failed', color: '--bad-fill', values: map.series.map((b) => b[2]), dash: [2, 3] },
      ],
    };
  }, [map]);
  const what = shards ? 'shard' : 'iteration';
  const most = Math.max(1, ...map.durations.map((b) => b.count));
  const parts = [[shards ? 'succeeded' : 'ended', map.succeeded], ['failed', map.failed], ['stopped', map.aborted], ['running', map.running]].filter(([, n]) => n > 0);
  const text = `${plural(map.total, what)}${parts.length ? ': ' + parts.map(([word, n]) => `${count(n)} ${word}`).join(', ') : ''}`;
  return html`<div class="map-one"><h3><bdi>${map.path[map.path.length - 1]}</bdi></h3><p class="note">${text}</p>
    ${map.series.length > 1 && html`<${Plot} label=${`${text}. Running, ended and failed over time.`} x=${lines.x} lines=${lines.lines} xText=${(s, step) => (step ? markText(s * 1000, step * 1000) : duration(s * 1000))} height=${130} />`}
    ${map.durations.length > 0 && html`<p class="note">Durations, up to</p><div class="histogram" role="img" aria-label=${`How long they took: ${map.durations.map((b) => `${count(b.count)} up to ${duration(b.up_to_ms)}`).join(', ')}`}>
      ${map.durations.map((b) => html`<div class="histogram-bar" title=${`${count(b.count)} up to ${duration(b.up_to_ms)}`}><i style=${{ height: (b.count / most) * 100 + '%' }}></i><span>${duration(b.up_to_ms)}</span></div>`)}</div>
      `}</div>`;
}

// A table of rows of one height, of which only the visible ones exist. So 10,000 rows scroll as smoothly as 10.
import { html, useState, useRef, useLayoutEffect } from './lib.js';

const spare = 5; // rows above and below the visible ones

/**
 * @param {object} props
 * @param {string} props.label of the table
 * @param {string} props.className which sets the columns
 * @param {any[]} props.head titles of the columns
 * @param {number} props.count
 * @param {number} props.height of a row, in pixels
 * @param {(i: number) => {cells: any[], className?: string}} props.row one link or button in the cells opens the row: the arrow keys go there
 * @param {any} [props.top] stays above the rows, such as an axis
 * @param {any} [props.behind] is behind all rows, such as the lines of an axis
 */
export function VirtualRows({ label, className = '', head, count, height, row, top, behind }) {
  const scroller = useRef(null);
  const [view, setView] = useState({ first: 0, rows: 40 });
  const headHeight = useRef(0);

  const look = () => {
    const el = scroller.current;
    if (!el) return;
    const first = Math.floor(el.scrollTop / height);
    const rows = Math.ceil(el.clientHeight / height) + 1;
    setView((old) => (old.first === first && old.rows === rows ? old : { first, rows }));
    // The row that has the focus goes away with its element. Then the table keeps the focus.
    const row = document.activeElement !== el && el.contains(document.activeElement) && document.activeElement.closest('[data-row]');
    if (row && (row.dataset.row < first - spare || row.dataset.row >= first + rows + spare)) el.focus({ preventScroll: true });
  };
  useLayoutEffect(() => {
    headHeight.current = scroller.current.querySelector('.rows-head').offsetHeight;
    look();
    const observer = new ResizeObserver(look);
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, [height, count]);

  // The arrow keys go from row to row.
  const focusRow = (i) => {
    const el = scroller.current;
    const at = i * height;
    const space = el.clientHeight - headHeight.current;
    if (at < el.scrollTop) el.scrollTop = at;
    if (at + height > el.scrollTop + space) el.scrollTop = at + height - space;
    look();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const row = el.querySelector(`[data-row="${i}"]`);
      const target = row && (row.querySelector('.link, a') || row.querySelector('button, input'));
      if (target) target.focus({ preventScroll: true });
    }));
  };
  const onKeyDown = (e) => {
    const inRow = e.target.closest('[data-row]');
    if (!inRow || e.altKey || e.ctrlKey || e.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) && e.target.type !== 'checkbox') return;
    const at = Number(inRow.dataset.row);
    const page = Math.max(1, view.rows - 3);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: count - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    focusRow(Math.max(0, Math.min(count - 1, to)));
  };

  // Rows that come take the elements of those that go: that is faster than new elements.
  const places = view.rows + 2 * spare;
  const from = Math.max(0, Math.min(view.first - spare, count - places));
  const indexes = Array.from({ length: Math.min(places, count) }, (_, i) => from + i);

  return html`<div class=${`rows ${className}`} role="table" aria-label=${label} aria-rowcount=${count + 1} ref=${scroller} tabindex="0" onScroll=${look} onKeyDown=${onKeyDown}>
    <div class="rows-head" role="rowgroup"><div class="rows-row" role="row" aria-rowindex="1">${head.map((h) => html`<div role="columnheader">${h}</div>`)}</div>${top}</div>
    <div class="rows-space" role="rowgroup" style=${{ height: count * height + 'px' }}>${behind}${indexes.map((i) => {
    const { cells, className: rowClass = '' } = row(i);
    return html`<div key=${i % places} class=${`rows-row ${rowClass}`} role="row" aria-rowindex=${i + 2} data-row=${i} style=${{ transform: `translateY(${i * height}px)`, height: height + 'px' }}>
      ${cells.map((cell) => html`<div role="cell">${cell}</div>`)}</div>`;
  })}</div></div>`;
}

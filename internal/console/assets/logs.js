// Log lines of the functions and of the state machine.
import { html, useMemo, useState } from './lib.js';
import { Drawer } from './drawer.js';
import { clock, count } from './format.js';
import { Data, Empty, LongText, Search, Section, beginning } from './ui.js';
import { VirtualRows } from './virtual.js';
import { useNarrow } from './ui.js';

const tones = { ERROR: 'bad', FATAL: 'bad', WARN: 'wait', WARNING: 'wait' };

const lineText = (l, part = (text) => text) => html`<${Data} mono>${part(l.message)}${l.fields && html` <span class="note">${part(l.fields)}</span>`}<//>`;

const lineCells = (l, onOpen) => [
  html`<time dateTime=${l.time} title=${l.time}>${clock(l.time)}</time>`,
  html`<${Data}>${l.function}<//>`,
  html`<span class=${`tone-${tones[(l.level || '').toUpperCase()] || 'still'}`}>${l.level && html`<${Data}>${l.level}<//>`}</span>`,
  onOpen ? html`<button type="button" class="link" title="Show the whole line" onClick=${onOpen}>${lineText(l, beginning)}</button>` : lineText(l),
];

/** Some lines, all of them visible. */
export const LogLines = ({ lines }) => html`<ol class="log-lines" aria-label="Log lines">${lines.map((l) => html`<li>${lineCells(l)}</li>`)}</ol>`;

/** The lines that belong to one visit: of its request, or else about its event, or else those of its time. */
export function linesOfVisit(logs, started, visit, sequence) {
  const from = Date.parse(started) + visit.start - 50;
  const to = visit.end < 0 ? Infinity : Date.parse(started) + visit.end + 1000;
  if (visit.request_id) {
    const own = logs.lines.filter((l) => l.request_id === visit.request_id);
    if (own.length) return own;
  }
  const then = logs.lines.filter((l) => Date.parse(l.time) >= from && Date.parse(l.time) <= to);
  return sequence === undefined ? then : then.filter((l) => l.sequence_no === sequence);
}

export function Logs({ doc }) {
  const narrow = useNarrow();
  const [text, setText] = useState('');
  const [from, setFrom] = useState('');
  const [open, setOpen] = useState(null);
  const functions = useMemo(() => [...new Set(doc.logs.lines.map((l) => l.function))], [doc]);
  const lines = useMemo(() => {
    const lower = text.trim().toLowerCase();
    return doc.logs.lines.filter((l) => (!from || l.function === from) && (!lower || `${l.message} ${l.fields || ''}`.toLowerCase().includes(lower)));
  }, [doc, text, from]);
  return html`<${Section} id="logs" title="Log lines" className="wide" note=${doc.logs.omitted ? `There are more. These are the newest ${count(doc.logs.lines.length)}.` : ''}
      tools=${doc.logs.lines.length > 0 && html`<label class="pick">From <select value=${from} onChange=${(e) => setFrom(e.currentTarget.value)}><option value="">all</option>${functions.map((f) => html`<option value=${f}>${f}</option>`)}</select></label>
        <${Search} label="Text" value=${text} onInput=${setText} />`}>
    ${lines.length ? html`<${VirtualRows} label="Log lines" className="logs" head=${['Time', 'From', 'Level', 'Message']} count=${lines.length} height=${narrow ? 64 : 28} row=${(i) => ({ cells: lineCells(lines[i], () => setOpen(lines[i])) })} />`
    : html`<${Empty}>${doc.logs.lines.length ? 'No line is like this.' : 'There are no log lines of this run.'}<//>`}
    ${open && html`<${Drawer} title="Log line" name="Log line" about=${open.time + open.message} onClose=${() => setOpen(null)}>
      <dl class="facts"><div><dt>Time</dt><dd><time dateTime=${open.time}>${open.time}</time></dd></div><div><dt>From</dt><dd><${Data}>${open.function}<//></dd></div>
        ${open.level && html`<div><dt>Level</dt><dd><${Data}>${open.level}<//></dd></div>`}${open.request_id && html`<div><dt>Request</dt><dd><${Data} mono>${open.request_id}<//></dd></div>`}</dl>
      <${LongText} text=${[open.message, open.fields].filter(Boolean).join('\n')} label="Log line" /><//>`}
  <//>`;
}

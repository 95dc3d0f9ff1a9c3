// Small parts that several views use.
import { html, useState, useEffect, useLayoutEffect, useRef } from './lib.js';
import { Icon } from './icons.js';
import { bytes, dateTime, statusOf } from './format.js';
import { pretty } from './json.js';

/** A status: shape and word. */
export function Status({ name, word, children }) {
  const status = statusOf(name);
  return html`<span class=${`status tone-${status.tone}`}><${Icon} name=${status.icon} /><span>${word || status.word}${children}</span></span>`;
}

/** A text from data. It cannot change the direction of the text around it. */
export const Data = ({ children, mono, title }) => html`<bdi class=${mono ? 'data mono' : 'data'} title=${title}>${children}</bdi>`;

/** The beginning of a text, for a cell that shows one line of it. Browsers are slow with very long lines. */
export const beginning = (text) => (text && text.length > 300 ? text.slice(0, 300) + '…' : text);

/** A moment. The exact time is in its title. */
export function Time({ at, as = dateTime }) {
  if (!at) return '–';
  return html`<time dateTime=${at} title=${at}>${as(at)}</time>`;
}

/** A part of the page with a heading. Its name is the heading's text. */
export function Section({ id, title, note, tools, children, className = '' }) {
  return html`<section id=${id} class=${`card ${className}`} aria-labelledby=${id + '-title'}>
    <header class="card-head"><div><h2 id=${id + '-title'}>${title}</h2>${note && html`<p class="note">${note}</p>`}</div>
      ${tools && html`<div class="tools">${tools}</div>`}</header>
    ${children}</section>`;
}

/** A choice of one of several, as buttons that are pressed or not. options: [{key, label, count, status}] */
export function Choose({ label, options, value, onChange }) {
  return html`<div class="choose" role="group" aria-label=${label}>${options.map((o) => html`
    <button type="button" key=${o.key} class="chip" aria-pressed=${String(value === o.key)} onClick=${() => onChange(o.key)}>
      ${o.status && html`<${Icon} name=${statusOf(o.status).icon} />`}<span>${o.label}</span>${o.count !== undefined && html`<span class="chip-count">${o.count}</span>`}
    </button>`)}</div>`;
}

export function Search({ label, value, onInput }) {
  return html`<label class="search"><${Icon} name="search" /><span class="hidden">${label}</span>
    <input type="search" placeholder=${label} value=${value} onInput=${(e) => onInput(e.currentTarget.value)} /></label>`;
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** What went wrong, where it went wrong. */
export const Problem = ({ children }) => html`<p class="problem" role="alert"><${Icon} name="bad" /><bdi>${children}</bdi></p>`;

/** Gives the focus back to the element that had it before closing was opened. If that has gone, the content gets it, so that it is not lost. */
export function giveBack(element, closing) {
  const now = document.activeElement;
  if (element && element.isConnected) element.focus();
  else if (!now || now === document.body || closing.contains(now)) document.getElementById('main')?.focus({ preventScroll: true });
}

/** How many pixels of the screen a pixel of a drawing has, so that its text grows with that of the page. */
export const textScale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** Whether the window is narrow, as style.css has it. */
export function useNarrow() {
  const query = '(max-width: 700px)';
  const [narrow, setNarrow] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = () => setNarrow(list.matches);
    list.addEventListener('change', change);
    return () => list.removeEventListener('change', change);
  }, []);
  return narrow;
}

export function useWindowWidth() {
  const [width, setWidth] = useState(innerWidth);
  useEffect(() => {
    const change = () => setWidth(innerWidth);
    addEventListener('resize', change);
    return () => removeEventListener('resize', change);
  }, []);
  return width;
}

/** The width of an element, which ref refers to. */
export function useWidth(ref) {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const measure = () => setWidth(ref.current ? ref.current.clientWidth : 0);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** Counts up when the colours of the system change, so that canvases are drawn again. */
export function useScheme() {
  const [n, setN] = useState(0);
  useEffect(() => {
    const list = matchMedia('(prefers-color-scheme: dark)');
    const change = () => setN((old) => old + 1);
    list.addEventListener('change', change);
    return () => list.removeEventListener('change', change);
  }, []);
  return n;
}

/** Saves a text as a file of the user. */
export function saveFile(name, text, type = 'application/json') {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const shownAtOnce = 20000;

/** A long text: a part of it is shown, because browsers are slow with very long ones. */
export function LongText({ text, label }) {
  const [shown, setShown] = useState(shownAtOnce);
  const part = text.length > shown ? text.slice(0, shown) : text;
  return html`<div class="long">
    <pre class="code" tabindex="0" dir="auto" aria-label=${label}>${part}${text.length > shown ? '…' : ''}</pre>
    ${text.length > shownAtOnce && html`<p class="note long-more">${text.length > shown && html`
      <button type="button" class="quiet" onClick=${() => setShown(shown + shownAtOnce * 2)}>Show more</button>`}
      <button type="button" class="quiet" onClick=${() => saveFile('carnation.json', text)}>Save all ${bytes(text.length)}</button></p>`}
  </div>`;
}

/** A value as JSON, with a button that copies it. */
export function Json({ value, title }) {
  const [copied, setCopied] = useState(false);
  if (value === undefined || value === null) return null;
  const text = pretty(value);
  const copy = () => navigator.clipboard.writeText(text).then(() => {
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  }, () => setCopied(false));
  return html`<div class="json"><div class="json-head"><h4>${title}</h4>
    <button type="button" class="quiet" onClick=${copy} aria-label=${`Copy ${title}`}>${copied ? 'Copied' : 'Copy'}</button></div>
    <${LongText} text=${text} label=${title} /></div>`;
}

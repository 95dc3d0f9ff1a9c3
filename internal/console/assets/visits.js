// The details of a state: its counts, and its visits with input, output, error and log lines.
import { html, useEffect, useState } from './lib.js';
import { count, duration, pathKey, pathText, plural, statusOfState } from './format.js';
import { countsOf } from './graph.js';
import { Icon } from './icons.js';
import { LogLines, linesOfVisit } from './logs.js';
import { Data, Empty, Json, LongText, Problem, Status } from './ui.js';
import { Drawer } from './drawer.js';
import { itemOf } from './events-of.js';

/**
 * @param {object} props
 * @param {import('./run-view.js').Document} props.doc
 * @param {{path: string[], index?: number}} props.what a state; or a Map state and one of its iterations
 * @param {import('./run-view.js').LoadVisits} [props.loadVisits] a report without payloads has none
 * @param {(what: {path: string[], index?: number}) => void} props.onSelect
 */
export function StateDetails({ doc, what, loadVisits, onSelect, onClose }) {
  const { path, index } = what;
  const whole = index === undefined;
  const about = pathKey([path, index]);
  const [loaded, setLoaded] = useState({});
  const state = doc.states.find((s) => pathKey(s.path) === pathKey(path));
  const moving = doc.run.status === 'RUNNING' ? doc.read_at : '';
  useEffect(() => {
    let gone = false;
    if (!loadVisits) return undefined;
    loadVisits(path, index).then((visits) => !gone && setLoaded({ about, visits }), (error) => !gone && setLoaded({ about, error }));
    return () => { gone = true; };
  }, [about, moving]);
  const { visits, error } = loaded.about === about ? loaded : {};
  const item = itemOf(doc, path, index);
  const name = whole ? path[path.length - 1] : item ? `Event ${item.sequence_no}` : `Iteration ${index}`;
  const first = visits ? Math.max(0, visits.findIndex((v) => v.error)) : 0;

  return html`<${Drawer} title=${html`<bdi>${name}</bdi>`} name=${whole ? `State ${name}` : name} about=${about} onClose=${onClose}>
    ${!whole && html`<p class="iteration">Iteration ${index} of <button type="button" class="link underlined" onClick=${() => onSelect({ path })}><bdi>${path[path.length - 1]}</bdi></button></p>`}
    ${whole && path.length > 1 && html`<p class="note">Inside <${Data}>${pathText(path.slice(0, -1))}<//></p>`}
    ${item && html`<dl class="facts"><div><dt>Status</dt><dd><${Status} name=${item.status} /></dd></div>${item.error && html`<div><dt>Error</dt><dd><${Data} mono>${item.error}<//></dd></div>`}
      <div><dt>Kind</dt><dd>${item.claimed ? `from the retry queue${item.retry_attempt ? `, retry ${item.retry_attempt}` : ''}` : 'new'}</dd></div><div><dt>Random value</dt><dd><${Data} mono>${item.random_value}<//></dd></div></dl>`}
    ${item && item.payload !== undefined && html`<${Json} title="Payload" value=${item.payload} />`}
    ${whole && (state ? html`<${Counts} state=${state} />` : html`<p><${Status} name="never" /></p>`)}
    <h3>${whole ? 'Visits' : 'States of this iteration'}</h3>
    ${!loadVisits && html`<${Empty}>This report has no inputs and outputs. Make it with <code>--payloads</code> to include them.<//>`}
    ${error && html`<${Problem}>${error.message}<//>`}
    ${loadVisits && !error && !visits && html`<${Empty}>Reading the history…<//>`}
    ${visits && !visits.length && html`<${Empty}>${state ? 'The history has no details of these visits.' : 'The run never came to this state.'}<//>`}
    ${visits && html`<ol class="visits">${visits.map((v, i) => html`<${Visit} key=${v.event_id} visit=${v} doc=${doc} item=${item || itemOf(doc, v.path, v.index)} named=${!whole} open=${i === first} />`)}</ol>`}
    ${visits && visits.length > 0 && whole && state && state.entered > visits.length && html`<p class="note">${count(visits.length)} of ${plural(state.entered, 'visit')}. Choose an event or an iteration to see another one.</p>`}
  <//>`;
}

function Counts({ state }) {
  const ended = state.succeeded + state.failed + state.aborted;
  const about = state.estimated ? '≈' : '';
  return html`<dl class="facts"><div><dt>Type</dt><dd>${state.type}</dd></div><div><dt>Entered</dt><dd>${about}${count(state.entered)}</dd></div>
    ${countsOf(state).map(([icon, tone, n, word]) => html`<div><dt><span class=${`tone-${tone}`}><${Icon} name=${icon} /></span>${word[0].toUpperCase() + word.slice(1)}</dt><dd>${about}${count(n)}</dd></div>`)}
    ${state.caught > 0 && html`<div><dt>Failures that were caught</dt><dd>${about}${count(state.caught)}</dd></div>`}
    ${ended > 0 && html`<div><dt>Time of a visit</dt><dd>${duration(state.total_ms / ended)}${ended > 1 && html` <span class="note">${duration(state.least_ms)} to ${duration(state.most_ms)}</span>`}</dd></div>`}
    </dl>${state.estimated && html`<p class="note">≈ Estimated from ${plural(state.sampled, 'shard')}.</p>`}
    ${!ended && !state.running && html`<p><${Status} name=${statusOfState(state)} /></p>`}`;
}

function Visit({ visit, doc, item, named, open }) {
  const [shown, setShown] = useState(open);
  const lines = shown ? linesOfVisit(doc.logs, doc.run.started, visit, item && item.sequence_no) : [];
  const one = named ? html`<b><bdi>${visit.path[visit.path.length - 1]}</bdi></b>` : item ? `Event ${item.sequence_no}` : visit.index !== undefined && visit.index !== null ? `Iteration ${visit.index}` : '';
  return html`<li class="visit"><details open=${open} onToggle=${(e) => setShown(e.currentTarget.open)}><summary><span class="chevron"><${Icon} name="open" /></span><${Status} name=${visit.status} />${one && html`<span>${one}</span>`}
      <span>${visit.end < 0 ? 'running' : duration(visit.end - visit.start)}</span>
      <span class="note">at ${duration(visit.start)}${visit.retries ? ` · ${plural(visit.retries, 'retry', 'retries')}` : ''}</span></summary>
    ${shown && html`${visit.error && html`<div class="json"><div class="json-head"><h4>Error</h4></div><p class="data mono error-name"><bdi>${visit.error}</bdi></p>${visit.cause && html`<${LongText} text=${causeText(visit.cause)} label="Cause" />`}</div>`}
      <${Json} title="Input" value=${visit.input} /><${Json} title="Output" value=${visit.output} />
      ${lines.length > 0 && html`<h4>Log lines</h4><${LogLines} lines=${lines.slice(0, 50)} />`}
      ${!lines.length && html`<p class="note">No log lines of this visit.</p>`}`}
  </details></li>`;
}

/** Lambda's causes are JSON. Of these, the message says most; a stack trace is worth its own lines. */
export function causeText(cause) {
  try {
    const value = JSON.parse(cause);
    if (value && typeof value.errorMessage === 'string' && !value.stackTrace) return value.errorMessage;
    return typeof value === 'object' && value ? JSON.stringify(value, null, 2) : cause;
  } catch {
    return cause;
  }
}

// The view of one run. It needs no server: the page and the report show the same.
import { html, useEffect, useMemo, useReducer, useState } from './lib.js';
import { ago, count, dateTime, duration, money, nameOf, pathKey, plural } from './format.js';
import { Icon } from './icons.js';
import { Data, Json, LongText, Section, Status, Time, textScale, useWindowWidth } from './ui.js';
import { Graph, StatesTable, useLayout } from './graph.js';
import { Timeline } from './timeline.js';
import { Items } from './items.js';
import { Shards } from './shards.js';
import { Logs } from './logs.js';
import { CostTable } from './cost.js';
import { StateDetails, causeText } from './visits.js';
import { mapOfItems } from './events-of.js';

/**
 * The JSON of Document, State, Span and so on is in internal/operate/model/document.go.
 * @typedef {object} Document
 * @typedef {object} State
 * @typedef {object} Span
 * @typedef {(path: string[], index?: number) => Promise<object[]>} LoadVisits
 */

/** Lists that are not there are empty ones, so that the views need not ask. */
export function complete(doc) {
  const list = (v) => v || [];
  return {
    ...doc,
    states: list(doc.states),
    partial: list(doc.partial),
    timeline: { ...doc.timeline, spans: list(doc.timeline?.spans), maps: list(doc.timeline?.maps).map((m) => ({ ...m, series: list(m.series), durations: list(m.durations) })) },
    items: { total: 0, ...doc.items, groups: list(doc.items?.groups), rows: list(doc.items?.rows) },
    shards: doc.shards && { ...doc.shards, rows: list(doc.shards.rows) },
    logs: { ...doc.logs, lines: list(doc.logs?.lines) },
    cost: { ...doc.cost, lines: list(doc.cost?.lines) },
  };
}

/**
 * @param {object} props
 * @param {Document} props.doc
 * @param {LoadVisits} [props.loadVisits]
 * @param {(arn: string) => string} [props.linkTo] the page of another execution
 * @param {any} [props.actions] buttons
 * @param {boolean} [props.live] the document is kept up to date; a report is as it was
 */
export function RunView({ doc: raw, loadVisits, linkTo, actions, live = false }) {
  const doc = complete(raw);
  const [what, setWhat] = useState(null);
  const selectState = (path) => setWhat({ path });
  const selectSpan = (span) => {
    if (span.shard && linkTo) location.hash = linkTo(span.shard);
    else setWhat({ path: span.path, index: span.index });
  };
  const selectItem = (item) => setWhat({ path: mapOfItems(doc), index: item.index });
  const running = doc.run.status === 'RUNNING';
  const [every, setEvery] = useState(false);
  const layout = useLayout(doc, every || running);
  const windowWidth = useWindowWidth();
  const scale = textScale();
  const wide = layout.w * scale > 0.65 * Math.min(1552 * scale, windowWidth); // too wide for its column

  return html`<div class="run">
    <${Head} doc=${doc} linkTo=${linkTo} actions=${actions} live=${live && running} />
    <nav class="jump" aria-label="Parts of this run"><a href="#graph" onClick=${jump}>Graph</a><a href="#timeline" onClick=${jump}>Timeline</a><a href="#items" onClick=${jump} aria-label="Events of this run">Events</a>
      ${doc.shards && html`<a href="#shards" onClick=${jump}>Shards</a>`}<a href="#logs" onClick=${jump}>Log lines</a><a href="#cost" onClick=${jump}>Cost</a></nav>
    <div class="run-parts">
      <${Section} id="graph" title="State machine" note="Choose a state to see what went in and out." className=${wide ? 'wide' : ''}
          tools=${layout.folded || every ? html`<label class="check"><input type="checkbox" checked=${every} onChange=${() => setEvery(!every)} />Show what is inside states that were not entered</label>` : ''}>
        <${Graph} layout=${layout} states=${doc.states} selected=${what && pathKey(what.path)} onSelect=${selectState} /><//>
      <div class=${`run-side ${wide ? 'wide' : ''}`}><${Section} id="states" title="States"><${StatesTable} states=${doc.states} onSelect=${selectState} /><//></div>
      <${Timeline} doc=${doc} onSelect=${selectSpan} />
      ${doc.shards && html`<${Shards} doc=${doc} linkTo=${linkTo} />`}
      <${Items} doc=${doc} onSelect=${selectItem} />
      <${Logs} doc=${doc} />
      <${CostTable} doc=${doc} />
    </div>
    ${what && html`<${StateDetails} doc=${doc} what=${what} loadVisits=${loadVisits} onSelect=${setWhat} onClose=${() => setWhat(null)} />`}
  </div>`;
}

/** The address of the page is in the hash, so a link inside of the page must not change it. */
function jump(e) {
  e.preventDefault();
  const target = document.getElementById(e.currentTarget.getAttribute('href').slice(1));
  target.scrollIntoView({ behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

const outcomes = [['generated', 'New events'], ['claimed', 'From the retry queue'], ['inserted', 'Inserted'], ['returned', 'Returned to the retry queue'], ['dead', 'Sent to the dead-letter queue']];

/** How long a run takes. While it is running, that goes on, although the document is read again only when something changes. */
function Took({ doc, live }) {
  const [, tick] = useReducer((n) => n + 1, 0);
  const read = useMemo(() => performance.now(), [doc.read_at]);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [live]);
  return duration(doc.run.milliseconds + (live ? performance.now() - read : 0));
}

function Head({ doc, linkTo, actions, live }) {
  const { run, outcome, stack } = doc;
  const kind = run.of ? (run.input.kind === 'batch' ? 'Batch' : 'Shard') : 'Run';
  // The cause of a run whose events failed has the same numbers, as they were when it ended.
  const told = run.error === 'Carnation.EventsFailed' && typeof outcome.inserted === 'number';
  return html`<header class="run-head">
    <div class="run-title"><div>${run.of && html`<p class="note">${kind} of ${linkTo ? html`<a href=${linkTo(run.of)}><${Data} mono>${nameOf(run.of)}<//></a>` : html`<${Data} mono>${nameOf(run.of)}<//>`}</p>`}
      <h1><span class="hidden">${kind} </span><bdi>${run.name}</bdi></h1></div>${actions && html`<div class="tools">${actions}</div>`}</div>
    <p class="sentence sentence-small"><${Status} name=${run.status} /> <span role="status"><${Data}>${outcome.sentence.replace(/^Running(: |$)/, '')}<//></span></p>
    ${(run.error || run.cause) && html`<div class="run-error"><span class="data mono"><bdi>${run.error}</bdi></span>${run.cause && !told && html`<${LongText} text=${causeText(run.cause)} label="Cause" />`}</div>`}
    <dl class="facts facts-wide">
      <div><dt>Input</dt><dd><${Data}>${run.input.text}<//></dd></div>
      ${outcomes.filter(([key]) => outcome[key] !== null && outcome[key] !== undefined).map(([key, label]) => html`<div><dt>${label}</dt><dd class="big">${count(outcome[key])}</dd></div>`)}
      <div><dt>${run.stopped ? 'Took' : 'Runs for'}</dt><dd class="big"><${Took} doc=${doc} live=${live} /></dd></div>
      <div><dt>Cost</dt><dd class="big">${doc.cost.lines.length ? money(doc.cost.usd) : '–'}</dd></div>
      <div><dt>Started</dt><dd><${Time} at=${run.started} /></dd></div>
      ${run.input.failure_rate > 0 && html`<div><dt>Fails on purpose</dt><dd>${(run.input.failure_rate * 100).toFixed(run.input.failure_rate < 0.1 ? 1 : 0)} % of the inserts</dd></div>`}
      ${run.redrives > 0 && html`<div><dt>Redriven</dt><dd>${plural(run.redrives, 'time')}${run.redriven && html`, last <${Time} at=${run.redriven} as=${ago} />`}</dd></div>`}
      <div><dt>Stack</dt><dd><${Data}>${stack.name}<//> <span class="note">${stack.map_mode === 'DISTRIBUTED' ? 'distributed' : 'inline'}, ${stack.region}</span></dd></div>
    </dl>
    ${doc.partial.length > 0 && html`<div class="partial" role="note"><h2><${Icon} name="unknown" />Not everything could be read</h2><ul>${doc.partial.map((g) => html`<li><b><${Data}>${g.what}<//></b>: <${Data}>${g.why}<//></li>`)}</ul></div>`}
    <details class="more"><summary>Address and input</summary><p class="data mono"><bdi>${run.arn}</bdi></p>
      ${run.raw_input !== undefined ? html`<${Json} title="Input of the run" value=${run.raw_input} />` : ''}${run.raw_output !== undefined ? html`<${Json} title="Output of the run" value=${run.raw_output} />` : ''}
      <p class="note">Read on ${dateTime(doc.read_at)}.</p></details>
  </header>`;
}

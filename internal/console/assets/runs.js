// The list of runs.
import { html, useEffect, useMemo, useRef, useState } from './lib.js';
import { againAfter, api, mayPass } from './api.js';
import { ago, clockOrDay, count, duration, money, nameOf, plural, shortName } from './format.js';
import { useLive } from './live.js';
import { link, replaceRoute } from './route.js';
import { ActionButton, StartDialog } from './actions.js';
import { Choose, Data, Empty, Problem, Search, Status, Time } from './ui.js';

const summaries = new Map(); // by ARN, of runs that have ended: they do not change any more

/**
 * Reads the runs, keeps them up to date, and reads the summaries of those that are asked for.
 * @returns {{rows: object[]|null, error: Error|null, next: string, more: () => void}}
 */
export function useRuns(stack, query, want = 0) {
  const { runs: changed, catchUps } = useLive();
  const [page, setPage] = useState({ rows: null, next: '', error: null });
  const [tries, setTries] = useState(0);
  const key = JSON.stringify([stack, query]);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    api.runs(stack, query, { signal: stop.signal }).then(
      (runs) => setPage({ rows: runs.runs || [], next: runs.next || '', error: null, key }),
      (error) => {
        if (error.name !== 'AbortError') setPage((old) => ({ ...old, error }));
        if (mayPass(error)) timer = setTimeout(() => setTries((n) => n + 1), againAfter);
      });
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, catchUps, tries]);
  const more = async () => {
    try {
      const runs = await api.runs(stack, { ...query, next: page.next });
      setPage((old) => ({ ...old, rows: [...(old.rows || []), ...(runs.runs || [])], next: runs.next || '' }));
    } catch (error) {
      setPage((old) => ({ ...old, error }));
    }
  };
  const rows = useMemo(() => {
    if (!page.rows) return null;
    const byArn = new Map(page.rows.map((r) => [r.arn, r]));
    for (const r of changed) byArn.set(r.arn, { ...byArn.get(r.arn), ...r });
    return [...byArn.values()].filter((r) => !query.status || r.status === query.status).sort((a, b) => Date.parse(b.started) - Date.parse(a.started));
  }, [page.rows, changed, query.status]);
  const withSummaries = useSummaries(stack, rows, want);
  return { ...page, rows: withSummaries, more };
}

/** Adds the summaries of the first rows, some at a time. */
function useSummaries(stack, rows, want) {
  const [, setRead] = useState(0);
  const asking = useRef(new Set());
  const known = (r) => r.summary || summaries.get(r.arn + r.status + r.redrives);
  useEffect(() => {
    const missing = (rows || []).slice(0, want).filter((r) => !known(r) && !asking.current.has(r.arn + r.status + r.redrives)).slice(0, 25);
    if (!missing.length) return;
    const keys = missing.map((r) => r.arn + r.status + r.redrives);
    keys.forEach((k) => asking.current.add(k));
    api.summaries(stack, missing.map((r) => r.arn)).then((list) => {
      for (const s of list || []) {
        const row = missing.find((r) => r.arn === s.arn);
        if (row) summaries.set(row.arn + row.status + row.redrives, s);
      }
      setRead((n) => n + 1);
    }, () => setTimeout(() => { keys.forEach((k) => asking.current.delete(k)); setRead((n) => n + 1); }, 5000));
  });
  return rows && rows.map((r) => (r.summary ? r : { ...r, summary: known(r) }));
}

const statuses = ['RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED', 'PENDING_REDRIVE'];

export function Runs({ stack, query }) {
  const { overview, stacks } = useLive();
  const [want, setWant] = useState(25);
  const [starting, setStarting] = useState(false);
  const { rows, error, next, more } = useRuns(stack, { status: query.status || '', max: 500 }, want);
  const filter = (change) => replaceRoute(link(stack, 'runs', '', { ...query, ...change }));
  const text = (query.text || '').trim().toLowerCase();
  const shown = useMemo(() => rows && rows.filter((r) => !text || [r.name, r.summary?.input?.text, r.summary?.error, r.summary?.outcome?.sentence].some((t) => t && t.toLowerCase().includes(text))), [rows, text]);
  return html`<div class="page-head"><h1>Runs</h1><div class="tools"><${ActionButton} className="primary" readOnly=${stacks?.read_only} onClick=${() => setStarting(true)}>Start a run<//></div></div>
    <div class="filters"><${Choose} label="Runs by status" value=${query.status || ''} onChange=${(status) => filter({ status })} options=${[{ key: '', label: 'All' }, ...statuses.map((s) => ({ key: s, label: html`<${Status} name=${s} />` }))]} />
      <${Search} label="Name, input or error" value=${query.text || ''} onInput=${(value) => filter({ text: value })} /></div>
    ${error && html`<${Problem}>${error.message}<//>`}
    ${!shown && !error && html`<${Empty}>Reading the runs…<//>`}
    ${shown && !shown.length && html`<${Empty}>${query.status || text ? 'No run is like this.' : 'No run yet. Start one.'}<//>`}
    ${shown && shown.length > 0 && html`<p class="note" role="status">${plural(shown.length, 'run')}${next ? ', and there are older ones' : ''}</p>
      <div class="card card-flush"><${RunTable} stack=${stack} rows=${shown} onSeen=${(n) => setWant((old) => Math.max(old, n))} /></div>
      ${next && html`<p class="more-rows"><button type="button" onClick=${more}>Show older runs</button></p>`}`}
    ${starting && html`<${StartDialog} stack=${stack} overview=${overview} onClose=${() => setStarting(false)} />`}`;
}

const step = 40;

/** The rows come some at a time, when they come near the window: so the first ones are there at once. */
export function RunTable({ stack, rows, short, onSeen }) {
  const [shown, setShown] = useState(step);
  const end = useRef(null);
  useEffect(() => {
    if (!end.current) return undefined;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((e) => e.isIntersecting)) setShown((n) => n + step);
    }, { rootMargin: '800px' });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [rows.length, shown]);
  useEffect(() => { if (onSeen) onSeen(Math.min(shown, rows.length)); }, [shown, rows.length]);
  return html`<table class=${`table runs ${short ? 'runs-short' : ''}`} role="table" aria-label="Runs" aria-rowcount=${rows.length + 1}><thead role="rowgroup"><tr role="row">
      <th role="columnheader" scope="col">Run</th><th role="columnheader" scope="col">Status</th>${!short && html`<th role="columnheader" scope="col">Input</th>`}
      <th role="columnheader" scope="col">Outcome</th><th role="columnheader" scope="col" class="num">Duration</th>${!short && html`<th role="columnheader" scope="col" class="num">Estimated cost</th>`}<th role="columnheader" scope="col" class="num">Started</th></tr></thead>
    <tbody role="rowgroup">${rows.slice(0, shown).map((r) => html`<${RunRow} key=${r.arn} stack=${stack} run=${r} short=${short} />`)}</tbody></table>
    ${rows.length > shown && html`<div ref=${end} class="more-mark"></div>`}`;
}

const outcomeText = (o) => [
  o.inserted !== null && `${count(o.inserted)} inserted`, o.returned ? `${count(o.returned)} returned` : '', o.dead ? `${count(o.dead)} dead` : '',
].filter(Boolean).join(', ');

function RunRow({ stack, run, short }) {
  const s = run.summary;
  const name = run.name || nameOf(run.arn);
  const took = run.stopped ? Date.parse(run.stopped) - Date.parse(run.started) : null;
  return html`<tr role="row"><th role="rowheader" scope="row"><a href=${link(stack, 'run', run.arn)} aria-label=${name} title=${name}><${Data} mono>${shortName(name)}<//></a></th>
    <td role="cell"><${Status} name=${run.status} />${run.redrives > 0 && html` <span class="note">redriven</span>`}</td>
    ${!short && html`<td role="cell"><${Data}>${s ? s.input.text : '…'}<//></td>`}
    <td role="cell">${s ? html`<span title=${s.outcome.sentence}>${outcomeText(s.outcome) || html`<${Data}>${s.error || '–'}<//>`}</span>` : '…'}</td>
    <td role="cell" class="num">${took === null ? html`<span class="note">running</span>` : duration(took)}</td>
    ${!short && html`<td role="cell" class="num">${s ? money(s.usd) : '…'}</td>`}
    <td role="cell" class="num"><time dateTime=${run.started} title=${ago(run.started)}>${clockOrDay(run.started)}</time></td></tr>`;
}

// What the page can do with runs. Each dialog says what will happen, in numbers, before it does it.
import { html, useEffect, useMemo, useRef, useState } from './lib.js';
import { api } from './api.js';
import { bytes, count, plural } from './format.js';
import { Icon } from './icons.js';
import { exactNumbers, readEvents } from './json.js';
import { setLive } from './live.js';
import { link } from './route.js';
import { Confirm } from './dialog.js';
import { Choose, Data, Problem } from './ui.js';

export const notice = (text, tone = 'good') => setLive({ notice: { text, tone, at: Date.now() } });

const whyReadOnly = 'This page is read-only. Start the console with --allow-changes to allow changes.';

/** A button that changes something. It is off, and says why, if the page is read-only. */
export function ActionButton({ readOnly, disabled, why, onClick, children, className = '' }) {
  const off = readOnly || disabled;
  const reason = readOnly ? whyReadOnly : why;
  return html`<button type="button" class=${className} aria-disabled=${String(!!off)} title=${off ? reason : undefined} aria-description=${off ? reason : undefined}
    onClick=${() => (off ? notice(reason, 'still') : onClick())}>${children}</button>`;
}

export const ReadOnlyNote = () => html`<p class="read-only"><${Icon} name="lock" />${whyReadOnly}</p>`;

/** Whether there is nothing to retry. What is not known yet may be something. */
const nothingWaits = (overview) => !!overview?.queues && !overview.queues.retry_queue && !overview.queues.in_flight;

/** Whether and why a retry is of no use now: properties of its button. */
export const retryButton = (overview) => (overview?.retry && !overview.retry.done ? { disabled: true, why: 'A retry is under way.' }
  : { disabled: nothingWaits(overview), why: 'No event is waiting in the retry queue.' });

const waiting = (overview) => overview?.queues?.retry_queue ?? null;
const retried = (n) => (n === null ? 'Events that are waiting in the retry queue are tried again in the same run.'
  : n === 0 ? 'No event is waiting in the retry queue.' : `It also tries ${plural(n, 'event')} again that ${n === 1 ? 'is' : 'are'} waiting in the retry queue.`);

const number = (text) => (/^\d{1,16}$/.test(text.trim()) ? Number(text) : NaN);

const formats = { jsonl: 'JSONL', ndjson: 'JSONL', json: 'JSON', csv: 'CSV' };

/** Starts a run: of a range, of pasted events, or of a file. */
export function StartDialog({ stack, overview, file: dropped, onClose }) {
  const [kind, setKind] = useState(dropped ? 'file' : 'range');
  const [first, setFirst] = useState('1');
  const [last, setLast] = useState('60');
  const [rate, setRate] = useState('0');
  const [text, setText] = useState('');
  const [file, setFile] = useState(dropped || null);
  const [format, setFormat] = useState('JSONL');
  const [over, setOver] = useState(false);
  const picker = useRef(null);
  const events = useMemo(() => readEvents(text), [text]);
  useEffect(() => {
    if (file) setFormat(formats[file.name.split('.').pop().toLowerCase()] || 'JSONL');
  }, [file]);

  const [from, to] = [number(first), number(last)];
  const share = Number(rate.replace(',', '.'));
  const badRate = !(rate.trim() !== '' && share >= 0 && share <= 1);
  const problem = {
    range: Number.isNaN(from) || Number.isNaN(to) ? 'The numbers must be integers from 0.' : to < from ? 'The last number must be at least the first number.' : '',
    events: events.error || '',
    file: '',
  }[kind] || (kind !== 'file' && badRate ? 'The share that fails must be a number from 0 to 1.' : '');
  const n = kind === 'range' ? to - from + 1 : events.texts.length;
  const ready = !problem && (kind === 'file' ? !!file : n > 0);

  const start = async () => {
    let started;
    const extra = share > 0 ? `,"failure_rate":${share}` : '';
    if (kind === 'range') started = await api.start(stack, `{"start_seq":${from},"end_seq":${to + 1}${extra}}`);
    else if (kind === 'events') started = await api.start(stack, `{"events":[${events.texts.join(',')}]${extra}}`);
    else started = await api.startFile(stack, file, format);
    notice(started.again ? 'This run was started before. Nothing was started again.' : 'The run has started.', started.again ? 'still' : 'good');
    location.hash = link(stack, 'run', started.arn);
  };
  const drop = (e) => {
    e.preventDefault();
    setOver(false);
    if (e.dataTransfer.files[0]) setFile(e.dataTransfer.files[0]);
  };
  const what = !ready ? '' : kind === 'range' ? `The run makes ${plural(n, 'new event')}, numbers ${from} to ${to}, and inserts them into the table.`
    : kind === 'events' ? `The run inserts ${plural(n, 'event')} of yours into the table.`
      : html`The file <${Data}>${file.name}<//> (${bytes(file.size)}) is checked and uploaded. The run inserts an event for each of its records.`;
  const action = kind === 'file' ? 'Start run with this file' : ready ? `Start run with ${plural(n, 'event')}` : 'Start run';

  return html`<${Confirm} title="Start a run" action=${action} disabled=${!ready} onConfirm=${start} onClose=${onClose} wide>
    <${Choose} label="Events of the run" value=${kind} onChange=${setKind} options=${[{ key: 'range', label: 'A range' }, { key: 'events', label: 'Pasted events' }, { key: 'file', label: 'A file' }]} />
    ${kind === 'range' && html`<div class="fields"><label>First number<input inputmode="numeric" value=${first} onInput=${(e) => setFirst(e.currentTarget.value)} /></label>
      <label>Last number<input inputmode="numeric" value=${last} onInput=${(e) => setLast(e.currentTarget.value)} /></label></div>`}
    ${kind === 'events' && html`<label class="field">Events, as a JSON list or one JSON object in each line
      <textarea class="mono" rows="9" spellcheck="false" value=${text} onInput=${(e) => setText(e.currentTarget.value)} placeholder=${'{"order": "A-17", "amount": 12.50}\n{"order": "A-18", "amount": 8}'}></textarea></label>
      ${!exactNumbers && html`<p class="note">This browser rounds numbers with more than 15 digits. Use a file for them.</p>`}`}
    ${kind === 'file' && html`<div class=${`drop ${over ? 'drop-over' : ''}`} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
        <p>${file ? html`<bdi><b>${file.name}</b></bdi>, ${bytes(file.size)}` : 'Drop a file here'}</p>
        <label class="file">Choose a file<input type="file" accept=".jsonl,.ndjson,.json,.csv" ref=${picker} onChange=${(e) => e.currentTarget.files[0] && setFile(e.currentTarget.files[0])} /></label></div>
      <label class="pick">Format <select value=${format} onChange=${(e) => setFormat(e.currentTarget.value)}><option value="JSONL">JSON Lines</option><option value="JSON">JSON list</option><option value="CSV">CSV</option></select></label>`}
    ${kind !== 'file' && html`<label class="field field-short">Share of inserts that fail on purpose, from 0 to 1 (0.35 is 35 %)<input inputmode="decimal" value=${rate} onInput=${(e) => setRate(e.currentTarget.value)} /></label>`}
    ${problem && (kind !== 'events' || text.trim()) && html`<${Problem}>${problem}<//>`}
    <p class="will" aria-live="polite">${what ? html`${what} ${kind !== 'file' && share > 0 ? `About ${count(Math.round(n * share))} of the inserts fail on purpose. ` : ''}${retried(waiting(overview))}` : 'Say which events the run has.'}</p>
  <//>`;
}

export function RetryDialog({ stack, overview, onClose }) {
  const n = waiting(overview);
  const flight = overview?.queues?.in_flight || 0;
  const nothing = nothingWaits(overview);
  return html`<${Confirm} title="Retry until the queue is empty" action="Retry" disabled=${nothing} onConfirm=${async () => { await api.retry(stack); notice('The retry has started. This page shows how it goes on.'); }} onClose=${onClose}>
    <p class="will">${nothing ? 'There is nothing to retry: no event is waiting in the retry queue, and none is in flight.' : `${n === null ? '' : n === 0 ? 'No event is waiting in the retry queue now. ' : `${plural(n, 'event')} ${n === 1 ? 'is' : 'are'} waiting in the retry queue. `}The console starts runs, one after another, that make no new events, until none is waiting.`}</p>
    ${flight > 0 && html`<p>${plural(flight, 'event')} ${flight === 1 ? 'is' : 'are'} in flight. They are tried too when they come back.</p>`}
    ${!nothing && html`<p class="note">An event that fails its last retry goes to the dead-letter queue.</p>`}<//>`;
}

/** What the console says that a stop or a redrive of this run would do. */
function usePlan(stack, arn, what) {
  const [plan, setPlan] = useState({});
  useEffect(() => {
    api.plan(stack, arn, what).then((read) => setPlan({ read }), (error) => setPlan({ error }));
  }, []);
  return plan;
}

const Plan = ({ plan }) => html`<div aria-live="polite">${plan.error ? html`<${Problem}>${plan.error.message}<//>` : plan.read ? html`<ul class="will">${plan.read.what.map((text) => html`<li><${Data}>${text}<//></li>`)}</ul>` : html`<p class="note">Counting what it would change…</p>`}</div>`;

export function StopDialog({ stack, run, onClose }) {
  const plan = usePlan(stack, run.arn, 'stop');
  return html`<${Confirm} title="Stop this run" action="Stop run" danger disabled=${!plan.read} onConfirm=${async () => notice((await api.stop(stack, run.arn)).message)} onClose=${onClose}>
    <p>The run <b><bdi>${run.name}</bdi></b> stops at once.</p><${Plan} plan=${plan} /><//>`;
}

export function RedriveDialog({ stack, run, onClose }) {
  const plan = usePlan(stack, run.arn, 'redrive');
  return html`<${Confirm} title="Redrive this run" action="Redrive run" disabled=${!plan.read} onConfirm=${async () => notice((await api.redrive(stack, run.arn)).message)} onClose=${onClose}>
    ${!plan.error && html`<p>Step Functions continues the run <b><bdi>${run.name}</bdi></b>. It repeats what did not succeed and keeps what did.</p>`}<${Plan} plan=${plan} /><//>`;
}

// Where the events are.
import { html, useMemo, useState } from './lib.js';
import { Icon } from './icons.js';
import { ago, clock, count, plural } from './format.js';
import { ActionButton, ReadOnlyNote, RetryDialog, StartDialog, retryButton } from './actions.js';
import { useLive } from './live.js';
import { Plot } from './plot.js';
import { link } from './route.js';
import { RunTable, useRuns } from './runs.js';
import { Data, Empty, Problem, Section, Time, useWindowWidth } from './ui.js';

const tones = { good: { tone: 'good', icon: 'good' }, waiting: { tone: 'wait', icon: 'waiting' }, bad: { tone: 'bad', icon: 'bad' }, busy: { tone: 'busy', icon: 'running' } };

export function Overview({ stack }) {
  const { overview, stacks } = useLive();
  const [dialog, setDialog] = useState('');
  const [file, setFile] = useState(null);
  const [most] = useState(() => (innerWidth > 1100 && innerHeight > 1200 ? 14 : 8));
  const recent = useRuns(stack, { max: most }, most);
  const readOnly = stacks?.read_only;
  if (!overview) return html`<div class="page-head"><h1>Where the events are</h1></div><${Empty}>Counting…<//>`;
  const tone = tones[overview.tone] || tones.good;
  const counted = Date.parse(overview.rows_at) > 0; // the first count of a large table takes minutes
  const { retry_queue: waits, in_flight: flight, dead_letter_queue: dead } = overview.queues;
  const start = () => { setFile(null); setDialog('start'); };
  const drop = (e) => {
    if (!e.dataTransfer.files[0] || readOnly) return;
    e.preventDefault();
    setFile(e.dataTransfer.files[0]);
    setDialog('start');
  };

  return html`<div class="overview" onDragOver=${(e) => e.dataTransfer.types.includes('Files') && e.preventDefault()} onDrop=${drop}>
    <div class="page-head"><h1>Where the events are</h1><div class="tools">
      <${ActionButton} className="primary" readOnly=${readOnly} onClick=${start}>Start a run<//>
      <${ActionButton} readOnly=${readOnly} ...${retryButton(overview)} onClick=${() => setDialog('retry')}>Retry until empty<//></div></div>
    ${readOnly && html`<${ReadOnlyNote} />`}
    <p class=${`sentence tone-${tone.tone}`} role="status" aria-live="polite"><${Icon} name=${tone.icon} /><span><${Data}>${overview.sentence}<//></span></p>
    <dl class="tiles">
      <${Tile} icon="table" tone="good" label="In the table" value=${counted ? overview.rows : null} note=${overview.rows_error ? html`<${Data}>${overview.rows_error}<//>` : counted ? html`counted <${Time} at=${overview.rows_at} as=${ago} />` : 'being counted'} />
      <${Tile} icon="waiting" tone="wait" label="Waiting for the next run" value=${waits} note="in the retry queue" />
      <${Tile} icon="flight" tone="busy" label="In flight" value=${flight} note="taken by a run" />
      <${Tile} icon="dead" tone="bad" label="Failed for good" value=${dead} note=${dead ? html`<a href=${link(stack, 'dead-letters')}>See dead letters</a>` : 'in the dead-letter queue'} />
    </dl>
    ${overview.retry && html`<p class="retrying" role="status"><${Icon} name=${overview.retry.error ? 'bad' : overview.retry.done ? 'good' : 'running'} /><span>${overview.retry.error ? html`The retry stopped: <${Data}>${overview.retry.error}<//>`
    : overview.retry.done ? `The retry is done, after ${plural(overview.retry.runs, 'run')}.` : `Retrying: run ${count(overview.retry.runs)}.`}</span></p>`}
    <div class="two">
      <${History} history=${overview.history || []} />
      <${Section} id="recent" title=${overview.running?.length ? `${plural(overview.running.length, 'run')} now` : 'Recent runs'} tools=${html`<a class="button" href=${link(stack, 'runs')}>All runs</a>`}>
        ${recent.error && !recent.rows ? html`<${Problem}>${recent.error.message}<//>` : recent.rows && !recent.rows.length ? html`<${Empty}>No run yet. Start one.<//>` : html`<${RunTable} stack=${stack} rows=${(recent.rows || []).slice(0, most)} short />`}<//>
    </div>
    ${dialog === 'start' && html`<${StartDialog} stack=${stack} overview=${overview} file=${file} onClose=${() => setDialog('')} />`}
    ${dialog === 'retry' && html`<${RetryDialog} stack=${stack} overview=${overview} onClose=${() => setDialog('')} />`}
  </div>`;
}

const Tile = ({ icon, tone, label, value, note }) => html`<div class=${`tile ${value ? '' : 'tile-zero'}`}><dt><span class=${`tone-${tone}`}><${Icon} name=${icon} /></span>${label}</dt>
  <dd class="tile-number">${count(value)}</dd><dd class="note">${note}</dd></div>`;

function History({ history }) {
  const { x, rows, queues } = useMemo(() => ({
    x: history.map((p) => p[0] / 1000),
    rows: [{ name: 'in the table', color: '--good-fill', values: history.map((p) => p[1]), fill: true, steps: true }],
    queues: [
      { name: 'waiting', color: '--wait-fill', values: history.map((p) => p[2]), steps: true },
      { name: 'in flight', color: '--busy-fill', values: history.map((p) => p[3]), dash: [6, 4], steps: true },
      { name: 'dead', color: '--bad-fill', values: history.map((p) => p[4]), dash: [2, 3], steps: true },
    ],
  }), [history]);
  const text = (s) => clock(s * 1000);
  useWindowWidth(); // draws again when it changes
  const height = innerWidth > 1100 ? Math.min(300, Math.max(140, (innerHeight - 760) / 2)) : 140; // a tall window has place for more
  const newest = history[history.length - 1];
  return html`<${Section} id="history" title="History" note="Since the console was started.">
    ${history.length < 2 ? html`<${Empty}>The history begins with the first change.<//>` : html`
      <${Plot} label=${`Events in the table over time. Now ${count(newest[1])}.`} x=${x} lines=${rows} xText=${text} time height=${height} />
      <${Plot} label=${`Events in the queues over time. Now ${count(newest[2])} are waiting, ${count(newest[3])} are in flight, ${count(newest[4])} are dead.`} x=${x} lines=${queues} xText=${text} time height=${height} />`}
  <//>`;
}

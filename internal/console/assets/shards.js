// The child executions of a distributed run. Each is a run of its own.
import { html, useMemo, useState } from './lib.js';
import { count, duration, plural } from './format.js';
import { Choose, Data, Empty, Search, Section, Status, beginning, useNarrow } from './ui.js';
import { VirtualRows } from './virtual.js';

/**
 * @param {object} props
 * @param {(arn: string) => string} [props.linkTo] address of the page of a shard; a report has none
 */
export function Shards({ doc, linkTo }) {
  const narrow = useNarrow();
  const [status, setStatus] = useState('');
  const [text, setText] = useState('');
  const { shards } = doc;
  const rows = useMemo(() => {
    const lower = text.trim().toLowerCase();
    return shards.rows.filter((s) => (!status || s.status === status) && (!lower || [s.name, s.error, s.cause].some((t) => t && t.toLowerCase().includes(lower))));
  }, [shards, status, text]);
  const options = [['succeeded', shards.succeeded], ['failed', shards.failed], ['timed_out', shards.timed_out], ['aborted', shards.aborted], ['running', shards.running], ['pending', shards.pending]]
    .filter(([, n]) => n > 0).map(([key, n]) => ({ key, status: key, label: html`<${Status} name=${key} />`, count: count(n) }));
  const row = (i) => {
    const s = rows[i];
    return {
      cells: [
        linkTo ? html`<a href=${linkTo(s.arn)}><${Data} mono>${s.name}<//></a>` : html`<${Data} mono>${s.name}<//>`,
        html`<${Status} name=${s.status} />`,
        html`<${Data}>${s.path[s.path.length - 1]}<//>`,
        html`<span class="num">${s.items ? count(s.items) : '–'}</span>`,
        html`<span class="num">${duration(s.start)}</span>`,
        html`<span class="num">${s.end < 0 ? '–' : duration(s.end - s.start)}</span>`,
        s.error ? html`<${Data} title=${s.cause || s.error}><span class="mono">${beginning(s.error)}</span>${s.cause ? `: ${beginning(s.cause)}` : ''}<//>` : '–',
      ],
    };
  };
  const note = [`${shards.type === 'EXPRESS' ? 'Express' : 'Standard'} executions.`,
    shards.records ? `They read ${plural(shards.records, 'record')}.` : '',
    shards.omitted ? `${count(shards.rows.length)} of ${count(shards.total)} are listed, the failed ones first.` : ''].join(' ');
  return html`<${Section} id="shards" title="Shards" className="wide" note=${note} tools=${html`<${Search} label="Name or error" value=${text} onInput=${setText} />`}>
    <${Choose} label="Shards by status" value=${status} onChange=${(k) => setStatus(k === status ? '' : k)} options=${[{ key: '', label: 'All', count: count(shards.total) }, ...options.map((o) => ({ ...o, status: undefined }))]} />
    ${rows.length ? html`<${VirtualRows} label="Shards" className="shards" head=${['Shard', 'Status', 'Map state', 'Items', 'Began after', 'Took', 'Error']} count=${rows.length} height=${narrow ? 64 : 34} row=${row} />`
    : html`<${Empty}>No shard is like this.<//>`}
  <//>`;
}

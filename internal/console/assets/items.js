// The events of a run, by status and error, with search.
import { html, useMemo, useState } from './lib.js';
import { Icon } from './icons.js';
import { count, plural, statusOf } from './format.js';
import { Data, Empty, Search, Section, Status, beginning, useNarrow } from './ui.js';
import { VirtualRows } from './virtual.js';

const groupKey = (status, error) => JSON.stringify([status, error || '']);

/** Whether an item has a text: in its number, random value or error, or in its payload. */
function matches(item, text) {
  if (!text) return true;
  if (String(item.sequence_no).startsWith(text)) return true;
  const lower = text.toLowerCase();
  return [item.random_value, item.error, item.payload === undefined ? '' : JSON.stringify(item.payload)].some((t) => t && t.toLowerCase().includes(lower));
}

export function Items({ doc, onSelect }) {
  const narrow = useNarrow();
  const [group, setGroup] = useState('');
  const [text, setText] = useState('');
  const { items } = doc;
  const rows = useMemo(() => items.rows.filter((r) => (!group || groupKey(r.status, r.error) === group) && matches(r, text.trim())), [items, group, text]);
  const row = (i) => {
    const item = rows[i];
    return {
      cells: [
        html`<button type="button" class="link" onClick=${() => onSelect(item)} aria-label=${`Event ${item.sequence_no}, ${statusOf(item.status).word}`}>${item.sequence_no}</button>`,
        html`<${Status} name=${item.status} />`,
        item.error ? html`<${Data} mono title=${item.error}>${beginning(item.error)}<//>` : html`<span class="note">–</span>`,
        item.claimed ? html`<span>claimed${item.retry_attempt ? `, retry ${item.retry_attempt}` : ''}</span>` : html`<span class="note">new</span>`,
        html`<${Data} mono title=${item.random_value}>${beginning(item.random_value)}<//>`,
      ],
    };
  };
  const only = items.rows.length === 0;
  return html`<${Section} id="items" title="Events" className="wide"
      note=${only && items.total ? 'A distributed run has too many events to list one by one. Look into a shard.' : items.omitted > 0 ? `${plural(items.rows.length, 'event')} of ${count(items.total)} are listed, the failed ones first.` : ''}
      tools=${!only && html`<${Search} label="Number, error or value" value=${text} onInput=${setText} />`}>
    ${only ? html`<dl class="facts">${items.groups.map((g) => html`<div key=${groupKey(g.status, g.error)}><dt><${Status} name=${g.status} />${g.error && html`<${Data} mono>${g.error}<//>`}</dt><dd class="big">${count(g.count)}</dd></div>`)}</dl>` : html`
    <div class="choose" role="group" aria-label="Events by status and error">
      <button type="button" class="chip" aria-pressed=${String(!group)} onClick=${() => setGroup('')}><span>All</span><span class="chip-count">${count(items.total)}</span></button>
      ${items.groups.map((g) => html`<button type="button" class="chip" key=${groupKey(g.status, g.error)} aria-pressed=${String(group === groupKey(g.status, g.error))}
          onClick=${() => setGroup(group === groupKey(g.status, g.error) ? '' : groupKey(g.status, g.error))}>
        <span class=${`tone-${statusOf(g.status).tone}`}><${Icon} name=${statusOf(g.status).icon} /></span><span>${statusOf(g.status).word}${g.error && html`: <${Data}>${g.error}<//>`}</span><span class="chip-count">${count(g.count)}</span></button>`)}</div>`}
    ${rows.length > 0 && html`<${VirtualRows} label="Events" className="items" head=${['Event', 'Status', 'Error', 'Kind', 'Random value']} count=${rows.length} height=${narrow ? 64 : 34} row=${row} />`}
    ${!rows.length && !only && html`<${Empty}>No event is like this.<//>`}
    ${!items.total && html`<${Empty}>This run has no events.<//>`}
  <//>`;
}

// The events that failed for good: by error and run, one by one, and what can be done with them.
import { html, useEffect, useMemo, useRef, useState } from './lib.js';
import { api } from './api.js';
import { ago, count, nameOf, plural, shortName } from './format.js';
import { exactNumbers, pretty } from './json.js';
import { useLive } from './live.js';
import { link, replaceRoute } from './route.js';
import { ActionButton, ReadOnlyNote, notice } from './actions.js';
import { Confirm } from './dialog.js';
import { Drawer } from './drawer.js';
import { Icon } from './icons.js';
import { Data, Empty, Json, LongText, Problem, Search, Section, Time, beginning, saveFile, useNarrow } from './ui.js';
import { VirtualRows } from './virtual.js';

const nameOfLetter = (l) => (l.event ? `Event ${l.event.sequence_no}` : 'Message');
const fileName = (what) => `carnation-dead-letters-${what}-${new Date().toISOString().replace(/[:.]/g, '-')}.jsonl`;

export function DeadLetters({ stack, query }) {
  const { overview, stacks, problem } = useLive();
  const narrow = useNarrow();
  const [state, setState] = useState({});
  const [again, setAgain] = useState(0);
  const [reading, setReading] = useState(true);
  const [selected, setSelected] = useState(() => new Set());
  const [all, setAll] = useState(false); // also those that are not listed
  const [text, setText] = useState('');
  const [open, setOpen] = useState('');
  const [dialog, setDialog] = useState('');
  const dead = overview?.queues?.dead_letter_queue;
  const filter = useMemo(() => ({ error: query.error || '', execution: query.execution || '' }), [query.error, query.execution]);
  // A look hides the messages for a moment, so the count drops because of it. So a new count leads to an offer, not to another look.
  const readAt = useRef(null); // the count that the last look found
  useEffect(() => {
    const stop = new AbortController();
    setReading(true);
    api.deadLetters(stack, filter, { signal: stop.signal }).then((list) => {
      setReading(false);
      readAt.current = (list.letters || []).length + (list.omitted || 0) + (list.hidden || 0);
      setState({ list: { ...list, groups: list.groups || [], letters: list.letters || [] } });
      setSelected((old) => new Set((list.letters || []).map((l) => l.message_id).filter((id) => old.has(id))));
    }, (error) => {
      if (error.name === 'AbortError') return;
      setReading(false);
      setState((old) => ({ ...old, error }));
    });
    return () => stop.abort();
  }, [stack, filter, again]);
  useEffect(() => { setSelected(new Set()); setAll(false); }, [filter]);

  const { list, error } = state;
  const letters = useMemo(() => {
    const lower = text.trim().toLowerCase();
    return (list?.letters || []).filter((l) => !lower || [String(l.event?.sequence_no ?? ''), l.error, l.body, l.event && JSON.stringify(l.event)].some((t) => t && t.toLowerCase().includes(lower)));
  }, [list, text]);
  // Fewer than were read can be the effect of the look. More are news.
  const more = list && !filter.error && !filter.execution && dead > readAt.current ? dead - readAt.current : 0;
  const reload = () => setAgain((n) => n + 1);
  const head = html`<div class="page-head"><h1>Dead letters</h1><div class="tools">${more > 0 && html`<span class="note" role="status">${plural(more, 'more message')}</span>`}
    <button type="button" aria-disabled=${String(reading)} onClick=${() => !reading && reload()}>${reading ? 'Reading…' : more > 0 ? 'Read again' : 'Reload'}</button></div></div>`;
  // A first look that failed is tried again when the console or AWS is there again.
  useEffect(() => { if (!problem && error && !list) reload(); }, [!problem]);
  if (!list) return html`${head}${error ? html`<${Problem}>${error.message}<//>` : html`<${Empty}>Looking at the dead-letter queue…<//>`}`;

  const readOnly = stacks?.read_only;
  const everything = all && list.omitted > 0 && !text;
  const n = everything ? list.letters.length + list.omitted : selected.size;
  const choice = everything ? (filter.error || filter.execution ? filter : { all: true }) : { message_ids: [...selected] };
  const chosen = list.letters.filter((l) => selected.has(l.message_id));
  const allSelected = letters.length > 0 && letters.every((l) => selected.has(l.message_id));
  const toggleAll = () => {
    const next = new Set(selected);
    for (const l of letters) if (allSelected) next.delete(l.message_id); else next.add(l.message_id);
    setSelected(next);
    setAll(!allSelected);
  };
  const toggle = (id) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    setSelected(next);
    setAll(false);
  };
  const set = (change) => replaceRoute(link(stack, 'dead-letters', '', { ...query, ...change }));
  const done = () => { setSelected(new Set()); setAll(false); setOpen(''); reload(); };
  const save = async () => {
    try {
      saveFile(fileName('export'), await api.exportLetters(stack, choice));
    } catch (e) {
      notice(e.message, 'bad');
    }
  };
  const letter = list.letters.find((l) => l.message_id === open);
  const row = (i) => {
    const l = letters[i];
    const name = nameOfLetter(l);
    return {
      className: selected.has(l.message_id) ? 'row-selected' : '',
      cells: [
        html`<label class="check"><input type="checkbox" aria-label=${`Select ${name.toLowerCase()}`} checked=${selected.has(l.message_id)} onChange=${() => toggle(l.message_id)} /></label>`,
        html`<button type="button" class="link" onClick=${() => setOpen(l.message_id)}>${name}</button>`,
        html`<${Data} mono title=${l.error}>${beginning(l.error) || '–'}<//>${l.permanent && html` <span class="note">permanent</span>`}`,
        l.execution_arn ? html`<a href=${link(stack, 'run', l.execution_arn)} title=${nameOf(l.execution_arn)} aria-label=${nameOf(l.execution_arn)}><${Data} mono>${shortName(nameOf(l.execution_arn))}<//></a>` : '–',
        html`<${Time} at=${l.sent} as=${ago} />`,
        html`<span class="num">${l.replays ? count(l.replays) : '–'}</span>`,
      ],
    };
  };

  return html`${head}${readOnly && html`<${ReadOnlyNote} />`}${error && html`<${Problem}>This is what was read before. ${error.message}<//>`}
    ${!list.letters.length && !list.groups.length ? html`<div class="card"><${Empty}>${filter.error || filter.execution ? html`No dead letter is like this. <button type="button" onClick=${() => set({ error: '', execution: '' })}>Show all</button>` : 'No event failed for good.'}${list.hidden ? ` ${plural(list.hidden, 'message')} cannot be seen, because somebody else looks at them.` : ''}<//></div>`
    : html`<${Section} id="groups" title="By error and run" tools=${(filter.error || filter.execution) && html`<button type="button" onClick=${() => set({ error: '', execution: '' })}>Show all</button>`}>
      <div class="scroll" tabindex="0" role="region" aria-label="By error and run"><table class="table groups" aria-label="Groups"><thead><tr><th scope="col">Error</th><th scope="col">Run</th><th scope="col" class="num">Messages</th><th scope="col">Events</th><th scope="col" class="num">Oldest</th></tr></thead>
        <tbody>${list.groups.map((g) => html`<tr key=${g.error + ' ' + g.execution_arn}><th scope="row"><button type="button" class="link" aria-label=${`Show ${plural(g.messages, 'message')} with ${g.error || 'no error'} of ${nameOf(g.execution_arn) || 'no run'}`} onClick=${() => set({ error: g.error || '', execution: g.execution_arn || '' })}><span class="tone-bad"><${Icon} name="dead" /></span><${Data} mono>${g.error || 'no error'}<//></button></th>
          <td><span class="hidden">${nameOf(g.execution_arn)}</span><span aria-hidden="true"><${Data} mono title=${nameOf(g.execution_arn)}>${shortName(nameOf(g.execution_arn)) || '–'}<//></span></td><td class="num">${count(g.messages)}</td><td><${Data} title=${g.sequence}>${(g.sequence || '–').slice(0, 200)}<//></td><td class="num"><${Time} at=${g.oldest} as=${ago} /></td></tr>`)}</tbody></table></div><//>
      <${Section} id="letters" title="One by one" note=${[list.omitted ? `${count(list.letters.length)} of ${count(list.letters.length + list.omitted)} are listed.` : '', list.hidden ? `${plural(list.hidden, 'message')} cannot be seen, because somebody else looks at them.` : ''].filter(Boolean).join(' ')}
        tools=${html`<${Search} label="Number, error or payload" value=${text} onInput=${setText} />`}>
        <div class="selection"><label class="check"><input type="checkbox" checked=${allSelected} onChange=${toggleAll} aria-label="Select all" />All</label>
          <span role="status">${n ? `${count(n)} selected` : 'None selected'}</span>
          <${ActionButton} readOnly=${readOnly} disabled=${!n} why="Select dead letters first." onClick=${() => setDialog('redrive')}>Redrive<//>
          <${ActionButton} disabled=${!n} why="Select dead letters first." onClick=${save}>Export<//>
          <${ActionButton} className="danger" readOnly=${readOnly} disabled=${!n} why="Select dead letters first." onClick=${() => setDialog('drop')}>Drop<//></div>
        ${letters.length ? html`<${VirtualRows} label="Dead letters" className="letters" head=${[html`<span class="hidden">Selected</span>`, 'Event', 'Error', 'Run', 'Sent', 'Replays']} count=${letters.length} height=${narrow ? 64 : 36} row=${row} />` : html`<${Empty}>No dead letter is like this.<//>`}<//>`}
    ${letter && html`<${Letter} key=${letter.message_id} stack=${stack} letter=${letter} readOnly=${readOnly} onClose=${() => setOpen('')} onDone=${done} />`}
    ${dialog === 'redrive' && html`<${RedriveLetters} stack=${stack} n=${n} choice=${choice} chosen=${chosen} onClose=${() => setDialog('')} onDone=${done} />`}
    ${dialog === 'drop' && html`<${DropLetters} stack=${stack} n=${n} choice=${choice} chosen=${everything ? [] : chosen} onClose=${() => setDialog('')} onDone=${done} />`}`;
}

/** What is chosen: by name, if it is few. */
const named = (n, chosen) => (n <= 3 && chosen.length === n ? chosen.map((l, i) => html`${i > 0 && ', '}${nameOfLetter(l)}${l.error && html` (<${Data}>${l.error}<//>)`}`) : plural(n, 'dead letter'));

function RedriveLetters({ stack, n, choice, chosen, onClose, onDone }) {
  const bad = chosen.filter((l) => l.bad_payload || !l.event).length;
  const confirm = async () => {
    notice((await api.redriveLetters(stack, choice)).message);
    onDone();
  };
  return html`<${Confirm} title="Redrive dead letters" action=${`Redrive ${plural(n, 'dead letter')}`} onConfirm=${confirm} onClose=${onClose}>
    <p class="will">${named(n, chosen)} will go back to the retry queue. The next run will try ${n === 1 ? 'it' : 'them'} again. Nothing starts by itself.</p>
    ${bad > 0 && html`<p class="warn"><${Icon} name="bad" /><span>${bad === 1 ? '1 message cannot be retried and stays' : `${count(bad)} messages cannot be retried and stay`} in the dead-letter queue: a run would not accept the payload, or the message is not an event. You can edit an event’s payload.</span></p>`}<//>`;
}

function DropLetters({ stack, n, choice, chosen, onClose, onDone }) {
  const confirm = async () => {
    const { file, kept, count: dropped } = await api.dropLetters(stack, choice);
    saveFile(fileName('dropped'), file);
    notice(`${plural(dropped, 'dead letter')} dropped. Your browser saved ${dropped === 1 ? 'it' : 'them'} to a file.${kept ? ` Another copy is in ${kept}.` : ''}`);
    onDone();
  };
  return html`<${Confirm} title="Drop dead letters" action=${`Drop ${plural(n, 'dead letter')}`} danger onConfirm=${confirm} onClose=${onClose}>
    <p class="will">${named(n, chosen)} will be deleted from the dead-letter queue for good. No run will try ${n === 1 ? 'it' : 'them'} again.</p>
    <p>${n === 1 ? 'It will be' : 'They will be'} saved to a file first, which your browser downloads.</p><//>`;
}

function Letter({ stack, letter, readOnly, onClose, onDone }) {
  const [edited, setEdited] = useState(null);
  const [confirming, setConfirming] = useState(false);
  const field = useRef(null);
  const edits = useRef(false);
  const editing = edited !== null;
  useEffect(() => {
    if (editing) field.current.focus();
    else if (edits.current) document.querySelector('.drawer .edit')?.focus();
    edits.current = editing;
  }, [editing]);
  const payload = letter.event?.payload;
  const name = letter.event ? letter.event.sequence_no : letter.message_id;
  let problem = '';
  if (editing) {
    try {
      const value = JSON.parse(edited);
      if (value === null || typeof value !== 'object' || Array.isArray(value)) problem = 'The payload must be a JSON object.';
    } catch (e) {
      problem = `The payload must be JSON. ${e.message}`;
    }
  }
  return html`<${Drawer} title=${nameOfLetter(letter)} name=${`Dead letter ${name}`} about=${letter.message_id} onClose=${onClose}>
    <dl class="facts"><div><dt>Error</dt><dd><${Data} mono>${letter.error || '–'}<//>${letter.permanent && html` <span class="note">no retry can cure it</span>`}</dd></div>
      <div><dt>Run</dt><dd>${letter.execution_arn ? html`<a href=${link(stack, 'run', letter.execution_arn)}><${Data} mono>${nameOf(letter.execution_arn)}<//></a>` : '–'}</dd></div>
      <div><dt>Sent</dt><dd><${Time} at=${letter.sent} /></dd></div><div><dt>Receive count</dt><dd>${count(letter.receives)}</dd></div>
      ${letter.replays > 0 && html`<div><dt>Redriven</dt><dd>${plural(letter.replays, 'time')}</dd></div>`}</dl>
    ${letter.bad_payload && html`<p class="warn"><${Icon} name="bad" /><span>No run takes this payload: <${Data}>${letter.bad_payload}<//>.</span></p>`}
    ${payload !== undefined && !editing && html`<${Json} title="Payload" value=${payload} />
      ${exactNumbers ? html`<${ActionButton} className="edit" readOnly=${readOnly} onClick=${() => setEdited(pretty(payload))}>Edit<//>` : html`<p class="note">This browser rounds long numbers. Edit this payload with <code>carnation dlq show --edit</code>.</p>`}`}
    ${editing && html`<label class="field">Payload<textarea class="mono" rows="14" spellcheck="false" ref=${field} value=${edited} onInput=${(e) => setEdited(e.currentTarget.value)}></textarea></label>
      ${problem && html`<${Problem}>${problem}<//>`}
      <div class="dialog-actions"><button type="button" onClick=${() => setEdited(null)}>Cancel</button><button type="button" class="primary" disabled=${!!problem} onClick=${() => setConfirming(true)}>Save and send</button></div>`}
    ${letter.event ? html`<${Json} title="Event" value=${Object.fromEntries(Object.entries(letter.event).filter(([k]) => k !== 'payload'))} />` : html`<h3>Message</h3><${LongText} text=${letter.body || ''} label="Message" />`}
    ${letter.attributes && html`<${Json} title="Attributes" value=${letter.attributes} />`}
    ${confirming && html`<${Confirm} title="Send the edited event" action="Send event" onClose=${() => setConfirming(false)} onConfirm=${async () => { notice((await api.editLetter(stack, letter.message_id, edited)).message); onDone(); }}>
      <p class="will">1 event goes to the retry queue with the edited payload, and the next run tries it. Then its dead letter is deleted.</p><//>`}
  <//>`;
}

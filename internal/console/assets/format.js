// Numbers, times, names and statuses, for people.

const whole = new Intl.NumberFormat('en');
const dayAndTime = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' });
const timeOfDay = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** 12345 is "12,345"; null and undefined, which are not known, are a dash. */
export const count = (n) => (n === null || n === undefined ? '–' : whole.format(n));

/** "1 event", "12 events". */
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

/** Milliseconds as "120 ms", "1.2 s", "3 min 12 s" or "2 h 5 min". */
export function duration(ms) {
  if (ms === null || ms === undefined || ms < 0) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 60)} h`;
}

/** US dollars, with as many decimals as two digits need. */
export function money(usd) {
  if (usd === null || usd === undefined) return '–';
  if (usd === 0) return '$0';
  if (usd < 0.0000001) return 'below $0.0000001';
  return '$' + usd.toFixed(usd >= 1 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(usd))));
}

/** The quantity of a cost: whole, or with three digits after the point. */
export const quantity = (n) => (Number.isInteger(n) ? count(n) : n.toLocaleString('en', { maximumSignificantDigits: 4 }));

export const dateTime = (time) => dayAndTime.format(new Date(time));
export const clock = (time) => timeOfDay.format(new Date(time));

const dayOnly = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** The clock time, with the day if it is not today's. */
export function clockOrDay(time) {
  const at = new Date(time);
  return at.toDateString() === new Date().toDateString() ? clock(at) : `${dayOnly.format(at)}, ${clock(at)}`;
}

/** A UUID by its first 8 characters. Other names stay as they are. */
export const shortName = (name) => (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name || '') ? name.slice(0, 8) : name || '');

/** "just now", "12 s ago", "3 min ago", "2 h ago", "4 days ago". */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - new Date(time)) / 1000));
  if (seconds < 3) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${plural(Math.floor(seconds / 86400), 'day')} ago`;
}

export function bytes(n) {
  if (n < 1000) return plural(n, 'byte');
  return n < 1e6 ? `${(n / 1000).toFixed(n < 1e4 ? 1 : 0)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}

/** The name in an ARN of an execution. */
export const nameOf = (arn) => (arn || '').split(':').slice(7).join(':') || arn || '';

/** The names of a path, as one text. */
export const pathText = (path) => path.join(' › ');

/** Identifies a path, also if names have strange characters. */
export const pathKey = (path) => JSON.stringify(path);

/** A status is a word, a shape (see icons.js) and a tone (see style.css), never a colour alone. */
const statuses = {
  running: { word: 'Running', icon: 'running', tone: 'busy' },
  succeeded: { word: 'Succeeded', icon: 'good', tone: 'good' },
  failed: { word: 'Failed', icon: 'bad', tone: 'bad' },
  timed_out: { word: 'Timed out', icon: 'timeout', tone: 'bad' },
  aborted: { word: 'Stopped', icon: 'stopped', tone: 'still' },
  pending_redrive: { word: 'Waiting for redrive', icon: 'waiting', tone: 'wait' },
  pending: { word: 'Not started', icon: 'waiting', tone: 'still' },
  never: { word: 'Not entered', icon: 'never', tone: 'still' },
  inserted: { word: 'Inserted', icon: 'good', tone: 'good' },
  parked: { word: 'Returned to the retry queue', icon: 'waiting', tone: 'wait' },
  released: { word: 'Returned to the retry queue again', icon: 'waiting', tone: 'wait' },
  returning: { word: 'Returns to the retry queue by itself', icon: 'waiting', tone: 'wait' },
  buried: { word: 'Sent to the dead-letter queue', icon: 'dead', tone: 'bad' },
  unknown: { word: 'Not known', icon: 'unknown', tone: 'still' },
};

/** The status of a run, a span, a shard or an item. An unknown one keeps its name. */
export const statusOf = (name) => statuses[String(name).toLowerCase()] || { word: String(name), icon: 'unknown', tone: 'still' };

/** The status of a state, by its counts. */
export function statusOfState(state) {
  if (!state || !state.entered) return 'never';
  if (state.running) return 'running';
  if (state.failed) return 'failed';
  if (state.aborted) return 'aborted';
  return 'succeeded';
}

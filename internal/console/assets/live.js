// What the server sends by itself. A page that was asleep, or lost the console, reads everything again.
import { useEffect, useReducer } from './lib.js';
import { api } from './api.js';

const state = {
  link: 'connecting', // connecting, live or lost
  problem: null, // {message, kind}
  stacks: null,
  overview: null,
  runs: [], // rows that have changed since the page was opened, by ARN
  runChanges: 0, // of the run that is open
  catchUps: 0,
  notice: null, // {text, tone}: what an action did
};
const listeners = new Set();

export function setLive(change) {
  Object.assign(state, change);
  for (const listener of listeners) listener();
}

/** The state, and the component is drawn again when it changes. */
export function useLive() {
  const [, draw] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    listeners.add(draw);
    return () => listeners.delete(draw);
  }, []);
  return state;
}

let source = null;
let opened = false;
let wanted = { stack: '', run: '' };
let lostTimer = 0;
let againTimer = 0;

function open() {
  clearTimeout(againTimer);
  if (source) source.close();
  const stream = new EventSource(api.stream(wanted.stack, wanted.run));
  source = stream;
  const on = (name, handle) => stream.addEventListener(name, (e) => source === stream && handle(JSON.parse(e.data)));
  stream.onopen = () => {
    clearTimeout(lostTimer);
    lostTimer = 0;
    const again = opened;
    opened = true;
    setLive({ link: 'live', problem: state.problem?.kind === 'console' ? null : state.problem, catchUps: state.catchUps + (again ? 1 : 0) });
  };
  stream.onerror = () => {
    if (source !== stream) return;
    if (!lostTimer) lostTimer = setTimeout(() => setLive({ link: 'lost', problem: { kind: 'console', message: 'The console does not answer. This page tries again by itself.' } }), 1500);
    if (stream.readyState === EventSource.CLOSED) againTimer = setTimeout(open, 2000);
  };
  // What a view could not read while there was a problem, it reads when the problem is over.
  on('overview', (overview) => setLive({ overview, problem: null, catchUps: state.catchUps + (state.problem ? 1 : 0) }));
  on('stacks', (stacks) => setLive({ stacks }));
  on('runs', ({ runs }) => setLive({ runs: [...new Map([...state.runs, ...(runs || [])].map((r) => [r.arn, r])).values()] }));
  on('run', () => setLive({ runChanges: state.runChanges + 1 }));
  on('problem', (problem) => setLive({ problem }));
}

/** Takes an overview that the page has asked for. What the stream has sent meanwhile is newer. */
export function takeOverview(overview) {
  if (!state.overview || Date.parse(overview.at) > Date.parse(state.overview.at)) setLive({ overview });
}

/** Listens to a stack, and to one of its runs. */
export function follow(stack, run = '') {
  if (source && wanted.stack === stack && wanted.run === run) return;
  const other = wanted.stack !== stack;
  wanted = { stack, run };
  opened = false;
  setLive({ runChanges: 0, ...(other ? { overview: null, runs: [], problem: null } : {}) });
  open();
}

const wake = () => { if (source && !document.hidden) open(); };

// Timers stand still while a computer sleeps.
let last = Date.now();
setInterval(() => {
  const now = Date.now();
  if (now - last > 30000) wake();
  last = now;
}, 5000);

// A browser has six connections to the console for all its tabs, and each stream takes one. So a tab that is hidden for a while has none.
const restAfter = 15000;
let restTimer = 0;
let hiddenAt = 0;
document.addEventListener('visibilitychange', () => {
  clearTimeout(restTimer);
  if (document.hidden) {
    hiddenAt = Date.now();
    restTimer = setTimeout(rest, restAfter);
  } else if (hiddenAt && Date.now() - hiddenAt >= restAfter) wake();
});
function rest() {
  clearTimeout(againTimer);
  clearTimeout(lostTimer);
  lostTimer = 0;
  if (source) source.close();
}
addEventListener('online', wake);
addEventListener('pageshow', (e) => e.persisted && wake());

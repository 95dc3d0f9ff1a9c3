// The page. Its parts have these names, which tests and assistive technologies can rely on:
//
//   banner      link "Carnation", navigation "Pages" (links "Events", "Runs", "Dead letters"), combobox "Stack" if there are several
//   alert       the problem banner, as long as AWS or the console cannot be read
//   Events      heading "Where the events are"; status with the sentence; terms "In the table", "Waiting for the next run", "In flight",
//               "Failed for good"; buttons "Start a run", "Retry until empty"; regions "History", "Recent runs"
//   Runs        table "Runs"; group "Runs by status"; searchbox "Name, input or error"
//   One run     heading with its name; regions "State machine", "States", "Cost", "Timeline", "Shards", "Events", "Log lines"; a state of
//               the graph is a button "NAME, TYPE: entered N times, ..."; tables "Timeline", "Events", "Shards", "Log lines"; buttons
//               "Stop", "Redrive", "Retry until empty"; complementary "State NAME" has the details, with button "Close details"
//   Dead letters   table "Groups", table "Dead letters"; checkboxes "Select all", "Select event N"; buttons "Reload", "Redrive", "Drop", "Export";
//               complementary "Dead letter N", with buttons "Edit" and "Save and send"
//   dialogs     "Start a run", "Retry until the queue is empty", "Stop this run", "Redrive this run", "Redrive dead letters",
//               "Drop dead letters"; each has "Cancel" and a button that does it
import { html, render, useEffect, useErrorBoundary, useRef, useState } from './lib.js';
import { api } from './api.js';
import { Icon } from './icons.js';
import { follow, setLive, takeOverview, useLive } from './live.js';
import { link, replaceRoute, useRoute } from './route.js';
import { Overview } from './overview.js';
import { Runs } from './runs.js';
import { RunPage } from './run-page.js';
import { DeadLetters } from './dead-letters.js';
import { Data, Empty } from './ui.js';

const pages = [['', 'Events'], ['runs', 'Runs'], ['dead-letters', 'Dead letters']];

function App() {
  const route = useRoute();
  const live = useLive();
  const { stacks, overview } = live;
  const stack = route.stack || stacks?.default || '';
  const ref = stacks?.stacks?.find((s) => s.name === stack);

  const [tries, setTries] = useState(0);
  const shownBefore = useRef(false);
  useEffect(() => {
    let timer = 0;
    api.stacks().then((read) => setLive({ stacks: read, problem: live.problem?.ofStacks ? null : live.problem }), (e) => {
      setLive({ problem: { message: e.message, kind: e.kind, ofStacks: true } });
      timer = setTimeout(() => setTries((n) => n + 1), 3000);
    });
    return () => clearTimeout(timer);
  }, [live.catchUps, tries]);
  useEffect(() => { if (stacks || route.stack) follow(stack, route.page === 'run' ? route.arg : ''); }, [stack, route.page, route.arg, !stacks]);
  useEffect(() => {
    if (!stack) return;
    api.overview(stack).then(takeOverview, (e) => e.kind !== 'no_stack' && setLive({ problem: { message: e.message, kind: e.kind } }));
  }, [stack, live.catchUps, !ref]);
  useEffect(() => { if (!route.stack && stacks?.default) replaceRoute(link(stacks.default, route.page, route.arg, route.query)); }, [route.stack, stacks?.default]);
  useEffect(() => {
    document.title = [route.page === 'run' ? 'Run' : (pages.find(([p]) => p === route.page) || pages[0])[1], stack, 'Carnation'].filter(Boolean).join(' · ');
    if (shownBefore.current) {
      scrollTo(0, 0);
      document.getElementById('main').focus({ preventScroll: true });
    }
    shownBefore.current = !!stack;
    setLive({ notice: live.notice && Date.now() - live.notice.at < 3000 ? live.notice : null });
  }, [route.page, route.arg, stack]);
  useEffect(() => {
    const timer = setInterval(() => setLive({}), 30000); // "3 min ago" goes on
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (!live.notice) return undefined;
    const timer = setTimeout(() => setLive({ notice: null }), 12000);
    return () => clearTimeout(timer);
  }, [live.notice]);

  const closeNotice = () => {
    setLive({ notice: null });
    document.getElementById('main').focus({ preventScroll: true }); // its button goes
  };

  const there = ref || (overview && overview.stack === stack) || (!stacks && route.stack); // until it is known, the address is believed
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById('main').focus(); }}>Skip to the content</a>
    <header class="top"><a class="brand" href=${link(stack)}><${Flower} />Carnation</a>
      ${there && html`<nav aria-label="Pages">${pages.map(([page, name]) => html`<a href=${link(stack, page)} aria-current=${route.page === page || (page === 'runs' && route.page === 'run') ? 'page' : undefined}>${name}
        ${page === 'dead-letters' && overview?.queues?.dead_letter_queue > 0 && html`<span class="badge"><span class="hidden">, </span>${overview.queues.dead_letter_queue}</span>`}</a>`)}</nav>`}
      <div class="top-end">${stacks?.stacks?.length > 1 && stack ? html`<label class="pick"><span class="hidden">Stack</span><select aria-label="Stack" value=${stack} onChange=${(e) => { location.hash = link(e.currentTarget.value); }}>
          ${!ref && html`<option value=${stack}>${stack}</option>`}${stacks.stacks.map((s) => html`<option value=${s.name}>${s.name}</option>`)}</select></label>` : stack && html`<span class="stack-name"><${Data}>${stack}<//></span>`}
        ${stacks?.read_only && html`<span class="pill"><${Icon} name="lock" />Read-only</span>`}
        <span class=${`link-state link-${live.problem ? 'lost' : live.link}`} role="status">${live.problem ? 'Not up to date' : live.link === 'live' ? 'Live' : 'Connecting'}</span></div></header>
    <div class="banners"><div role="alert">${live.problem && html`<p class="banner"><${Icon} name="bad" /><span><b>${problemTitle(live.problem.kind)}</b> <${Data}>${live.problem.message.replace(/^AWS does not answer: /, '')}<//></span></p>`}</div>
      <div role="status">${live.notice && html`<p class=${`banner banner-notice tone-${live.notice.tone}`}><${Icon} name=${live.notice.tone === 'good' ? 'good' : 'unknown'} /><span><${Data}>${live.notice.text}<//></span>
        <button type="button" class="icon-button" aria-label="Close message" onClick=${closeNotice}><${Icon} name="close" /></button></p>`}</div></div>
    <main id="main" class="page" tabindex="-1"><${Guard} key=${route.page + route.arg}>${there && !(ref && incomplete.test(ref.state)) ? html`<${Page} route=${route} stack=${stack} />` : html`<${NoStack} stacks=${stacks} stack=${stack} page=${ref} />`}<//></main>
    <footer class="foot">${stacks && html`${stacks.region}${stacks.endpoint && html` · <${Data}>${stacks.endpoint}<//>`}`}</footer>`;
}

function Page({ route, stack }) {
  if (route.page === 'runs') return html`<${Runs} stack=${stack} query=${route.query} />`;
  if (route.page === 'run') return html`<${RunPage} stack=${stack} arn=${route.arg} />`;
  if (route.page === 'dead-letters') return html`<${DeadLetters} stack=${stack} query=${route.query} />`;
  return html`<${Overview} stack=${stack} />`;
}

/** An error of the page itself does not leave it empty. */
function Guard({ children }) {
  const [error, reset] = useErrorBoundary((e) => console.error(e));
  if (!error) return children;
  return html`<div class="card"><h1>This view cannot be shown</h1><p><${Data}>${String(error.message || error)}<//></p><button type="button" onClick=${reset}>Try again</button></div>`;
}

const titles = {
  console: 'The console is gone.', throttled: 'AWS slows us down.', credentials: 'The credentials have expired or are missing.', unreachable: 'AWS does not answer.', no_stack: 'The stack is gone.',
};
const problemTitle = (kind) => titles[kind] || 'AWS cannot be read.';

/** States of a stack that has no events to show. */
const incomplete = /^(CREATE_IN_PROGRESS|REVIEW_IN_PROGRESS|CREATE_FAILED|ROLLBACK_.*|DELETE_.*)$/;

function NoStack({ stacks, stack, page }) {
  if (!stacks) return html`<${Empty}>Looking for the stack…<//>`;
  const others = stacks.stacks?.filter((s) => s.name !== stack) || [];
  if (page && !/^(CREATE|REVIEW)_IN_PROGRESS$/.test(page.state)) {
    return html`<div class="card no-stack"><h1>The stack is not complete</h1><p class="sentence"><${Icon} name="bad" /><span role="status">Stack <${Data}>${stack}<//> is in the state ${page.state}.</span></p>
      <p>This command makes it:</p><pre class="code" tabindex="0">${stacks.how_to_make}</pre></div>`;
  }
  if (page) return html`<div class="card no-stack"><h1>The stack is being made</h1><p class="sentence"><${Icon} name="running" /><span role="status">Stack <${Data}>${stack}<//> is in the state ${page.state}. This page shows its events as soon as it is there.</span></p></div>`;
  if (!stack && others.length) {
    return html`<div class="card no-stack"><h1>Which stack?</h1><ul class="stack-list">${others.map((s) => html`<li><a href=${link(s.name)}><${Data}>${s.name}<//></a> <span class="note">${s.map_mode ? s.map_mode.toLowerCase() : s.state}</span></li>`)}</ul></div>`;
  }
  return html`<div class="card no-stack"><h1>${stack ? html`There is no stack <${Data}>${stack}<//> yet` : 'There is no stack yet'}</h1>
    <p>This command makes it:</p><pre class="code" tabindex="0">${stacks.how_to_make}</pre><p class="note" role="status">This page notices when it is there.</p>
    ${others.length > 0 && html`<p>There are others:</p><ul class="stack-list">${others.map((s) => html`<li><a href=${link(s.name)}><${Data}>${s.name}<//></a></li>`)}</ul>`}</div>`;
}

const Flower = () => html`<svg class="flower" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 13.5c-3.5 0-6.5-2-7.500-5.500l2 .6L6.300 5l2.700 2L9.600 3 12 5.800 14.400 3l.6 4 2.700-2-.2 3.600 2-.6c-1 3.500-4 5.500-7.500 5.500Z" /><path class="stem" d="M12 13v9M12 19c2.500 0 4-1.500 4.500-3.500M12 20.500c-2 0-3.300-1-3.800-2.700" /></svg>`;

render(html`<${App} />`, document.getElementById('app'));

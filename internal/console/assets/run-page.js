// The page of one run, shard or batch: its document, kept up to date, and what can be done with it.
import { html, useCallback, useEffect, useRef, useState } from './lib.js';
import { againAfter, api, mayPass } from './api.js';
import { nameOf } from './format.js';
import { useLive } from './live.js';
import { link } from './route.js';
import { ActionButton, ReadOnlyNote, RedriveDialog, RetryDialog, StopDialog, retryButton } from './actions.js';
import { Empty, Problem } from './ui.js';
import { RunView } from './run-view.js';

export function RunPage({ stack, arn }) {
  const { runChanges, catchUps, stacks, overview } = useLive();
  const [state, setState] = useState({});
  const [dialog, setDialog] = useState('');
  const [tries, setTries] = useState(0);
  const reading = useRef(null);
  useEffect(() => {
    // A change during a read leads to one more read after it, however many changes there are.
    if (reading.current && reading.current.arn === arn) {
      reading.current.again = true;
      return;
    }
    const read = async (job) => {
      do {
        job.again = false;
        try {
          const doc = await api.run(stack, arn);
          if (reading.current === job) setState({ arn, doc });
        } catch (error) {
          if (reading.current === job) setState((old) => ({ ...(old.arn === arn ? old : { arn }), error }));
          if (mayPass(error)) setTimeout(() => setTries((n) => n + 1), againAfter);
        }
      } while (job.again && reading.current === job);
      if (reading.current === job) reading.current = null;
    };
    const job = { arn, again: false };
    reading.current = job;
    read(job);
  }, [stack, arn, runChanges, catchUps, tries]);
  useEffect(() => () => { reading.current = null; }, []);
  const loadVisits = useCallback((path, index) => api.visits(stack, arn, path, index), [stack, arn]);

  const { doc, error } = state.arn === arn ? state : {};
  const back = html`<p class="crumbs"><a href=${link(stack, 'runs')}>Runs</a></p>`;
  if (!doc) {
    return html`${back}<h1 class="loading-name"><bdi>${nameOf(arn)}</bdi></h1>${error ? html`<${Problem}>${error.message}<//>` : html`<${Empty}>Reading the history of this run…<//>`}`;
  }
  const readOnly = stacks?.read_only;
  const running = doc.run.status === 'RUNNING';
  // Such a run has put its failed events into the queues, so a redrive is of no use.
  const failed = doc.run.error === 'Carnation.EventsFailed' && !doc.run.of;
  const retry = retryButton(overview);
  const actions = html`${running && html`<${ActionButton} className="danger" readOnly=${readOnly} onClick=${() => setDialog('stop')}>Stop<//>`}
    ${failed && html`<${ActionButton} className=${retry.disabled ? '' : 'primary'} readOnly=${readOnly} ...${retry} onClick=${() => setDialog('retry')}>Retry until empty<//>`}
    ${!running && doc.run.can_redrive && !failed && !doc.run.of && html`<${ActionButton} readOnly=${readOnly} onClick=${() => setDialog('redrive')}>Redrive<//>`}`;
  return html`${back}${error && html`<${Problem}>This is what was read before. ${error.message}<//>`}
    ${readOnly && !doc.run.of && doc.run.status !== 'SUCCEEDED' && html`<${ReadOnlyNote} />`}
    <${RunView} key=${arn} doc=${doc} loadVisits=${loadVisits} linkTo=${(other) => link(stack, 'run', other)} actions=${actions} live />
    ${dialog === 'stop' && html`<${StopDialog} stack=${stack} run=${doc.run} onClose=${() => setDialog('')} />`}
    ${dialog === 'retry' && html`<${RetryDialog} stack=${stack} overview=${overview} onClose=${() => setDialog('')} />`}
    ${dialog === 'redrive' && html`<${RedriveDialog} stack=${stack} run=${doc.run} onClose=${() => setDialog('')} />`}`;
}

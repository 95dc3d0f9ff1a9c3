// A question before something changes.
import { html, useLayoutEffect, useRef, useState } from './lib.js';
import { Problem, giveBack } from './ui.js';

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} props.action text of the button
 * @param {boolean} [props.danger] the button deletes or stops something
 * @param {boolean} [props.disabled]
 * @param {() => Promise<void>} props.onConfirm the dialog closes after it, and stays with the error if it fails
 */
export function Confirm({ title, action, danger, disabled, onConfirm, onClose, children, wide }) {
  const dialog = useRef(null);
  const gone = useRef(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  // A layout effect runs before the next key, so that an Escape right after the dialog opens is not lost.
  useLayoutEffect(() => {
    const back = document.activeElement;
    const opened = dialog.current;
    opened.showModal();
    return () => {
      gone.current = true;
      opened.close(); // until then, everything outside of it is inert and cannot have the focus
      giveBack(back, opened);
    };
  }, []);
  const confirm = async (e) => {
    e.preventDefault();
    if (busy || disabled) return;
    setBusy(true);
    setError('');
    try {
      await onConfirm();
      onClose();
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  };
  // A browser asks only once whether Escape may close it. The second Escape closes it at once.
  return html`<dialog class=${`dialog ${wide ? 'dialog-wide' : ''}`} ref=${dialog} aria-labelledby="dialog-title" onCancel=${(e) => { e.preventDefault(); if (!busy) onClose(); }}
      onClose=${() => gone.current || onClose()}>
    <form onSubmit=${confirm} noValidate><h2 id="dialog-title">${title}</h2>
      <div class="dialog-body">${children}</div>
      ${error && html`<${Problem}>${error}<//>`}
      <div class="dialog-actions"><button type="button" disabled=${busy} onClick=${onClose}>Cancel</button>
        <button type="submit" class=${danger ? 'primary danger' : 'primary'} disabled=${busy || disabled}>${busy ? 'Working…' : action}</button></div></form>
  </dialog>`;
}

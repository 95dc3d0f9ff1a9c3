// A panel at the side for details. It does not block the page: Escape or its button closes it, and the focus goes back.
import { html, useLayoutEffect, useRef } from './lib.js';
import { Icon } from './icons.js';
import { giveBack } from './ui.js';

/** @param {{title: any, name: string, about: string, onClose: () => void, children: any}} props about identifies what is shown: if it changes, the heading gets the focus */
export function Drawer({ title, name, about, onClose, children }) {
  const heading = useRef(null);
  const back = useRef(null);
  const close = useRef(onClose);
  close.current = onClose;
  // Layout effects run before the next key, so that an Escape right after the details open is not lost.
  useLayoutEffect(() => {
    if (!back.current) back.current = document.activeElement;
    heading.current.focus();
  }, [about]);
  useLayoutEffect(() => {
    const panel = heading.current.closest('aside');
    const escape = (e) => { if (e.key === 'Escape' && !document.querySelector('dialog[open]')) close.current(); };
    document.addEventListener('keydown', escape);
    document.documentElement.classList.add('with-drawer');
    return () => {
      document.removeEventListener('keydown', escape);
      document.documentElement.classList.remove('with-drawer');
      setTimeout(() => giveBack(back.current, panel)); // a dialog of the panel closes after it, and until then nothing else can have the focus
    };
  }, []);
  return html`<aside class="drawer" aria-label=${name}><header class="drawer-head"><h2 tabindex="-1" ref=${heading}>${title}</h2>
      <button type="button" class="icon-button" aria-label="Close details" onClick=${onClose}><${Icon} name="close" /></button></header>
    <div class="drawer-body">${children}</div></aside>`;
}

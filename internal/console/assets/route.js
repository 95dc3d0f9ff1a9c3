// The address of the page is in the hash: #/STACK/PAGE/ARGUMENT?filters. So a link opens the same view, and the server has one page.
import { useEffect, useState } from './lib.js';

/** @returns {{stack: string, page: string, arg: string, query: Record<string, string>}} */
export function parseRoute(hash) {
  const [path, search = ''] = hash.replace(/^#?\/?/, '').split(/\?(.*)/s);
  const [stack = '', page = '', arg = ''] = path.split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { stack, page, arg, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The hash of a view. Filters that are empty are left out. */
export function link(stack, page = '', arg = '', query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, v]) => v)).toString();
  const parts = [stack, page, arg].map(encodeURIComponent);
  while (parts.length > 1 && !parts[parts.length - 1]) parts.pop();
  return '#/' + parts.join('/') + (search ? '?' + search : '');
}

export function useRoute() {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const change = () => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return route;
}

/** Changes the filters without a step in the browser's history. */
export function replaceRoute(hash) {
  history.replaceState(null, '', hash);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

// Which event an iteration is about.
import { pathKey } from './format.js';

/** The Map state whose iterations are the events: the first one. Those of other Map states are failed events only. */
export const mapOfItems = (doc) => (doc.states.find((s) => s.type === 'Map') || { path: [] }).path;

/** The event of an iteration, if it is known. */
export function itemOf(doc, path, index) {
  const map = mapOfItems(doc);
  if (index === undefined || index === null || pathKey(path.slice(0, map.length)) !== pathKey(map)) return undefined;
  return doc.items.rows.find((r) => r.index === index);
}

// The report: one file with one run, which opens without a server.
import { html, render } from './lib.js';
import { pathKey } from './format.js';
import { parseExactly } from './json.js';
import { RunView } from './run-view.js';

const read = (id, parse) => parse(document.getElementById(id).textContent);
const visits = read('carnation-visits', parseExactly);
const most = 50; // visits that are shown of a state, as in the console
// With an index, the path of a Map state means the states inside of that iteration.
const loadVisits = async (path, index) => visits.filter((v) => (index === undefined ? pathKey(v.path) === pathKey(path)
  : v.index === index && [pathKey(v.path), pathKey(v.path.slice(0, -1))].includes(pathKey(path)))).slice(0, most);

render(html`<${RunView} doc=${read('carnation-document', JSON.parse)} loadVisits=${visits.length ? loadVisits : undefined} />`, document.getElementById('app'));

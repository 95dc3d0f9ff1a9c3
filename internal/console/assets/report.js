// The report: one file with one run, which opens without a server.
import { html, render } from './lib.js';
import { parseExactly } from './json.js';
import { RunView } from './run-view.js';

const read = (id, parse) => parse(document.getElementById(id).textContent);
const visits = read('carnation-visits', parseExactly);
const loadVisits = async (path, index) => visits[JSON.stringify([path, index === undefined ? null : index])] || [];

render(html`<${RunView} doc=${read('carnation-document', JSON.parse)} loadVisits=${Object.keys(visits).length ? loadVisits : undefined} />`, document.getElementById('app'));

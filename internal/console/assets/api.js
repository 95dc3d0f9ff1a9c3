// The console's API, as internal/console/api.go describes it.
import { parseExactly } from './json.js';

/** An answer that is an error. kind is one of those in api.go, or console if the console itself does not answer. */
export class ApiError extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

/** Whether what failed may succeed if it is tried again. */
export const mayPass = (error) => error.name !== 'AbortError' && !['invalid', 'forbidden', 'read_only', 'not_found', 'no_stack'].includes(error.kind);

/** Milliseconds until a view reads again what it could not read. */
export const againAfter = 5000;

let token = document.querySelector('meta[name="carnation-token"]')?.content || '';

/** After a restart, the console has another token. The page that it serves has it. */
async function renewToken() {
  const page = await (await fetch('/', { cache: 'no-store' })).text();
  const found = new DOMParser().parseFromString(page, 'text/html').querySelector('meta[name="carnation-token"]')?.content;
  if (!found || found === token) return false;
  token = found;
  return true;
}

const address = (path, params) => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    for (const v of [value].flat()) if (v !== undefined && v !== null && v !== '') search.append(key, v);
  }
  return `/api/${path}${search.size ? '?' + search : ''}`;
};

async function send(path, params, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path, params), { cache: 'no-store', ...options });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError('The console does not answer. Check that its command still runs.', 'console');
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let error = {};
  try {
    error = JSON.parse(text).error || {};
  } catch { /* the text below says it */ }
  throw new ApiError(error.message || text.slice(0, 300) || `The console answers with status ${answer.status}.`, error.kind || 'aws');
}

async function get(path, params = {}, options) {
  const text = await (await send(path, params, options)).text();
  return /"(payload|event|input|output|raw_input|raw_output)":/.test(text) ? parseExactly(text) : JSON.parse(text);
}

async function change(path, params, body, type = 'application/json') {
  const once = () => send(path, params, { method: 'POST', body, headers: { 'Content-Type': type, 'X-Carnation-Token': token } });
  try {
    return await once();
  } catch (e) {
    if (e.kind === 'forbidden' && await renewToken()) return once();
    throw e;
  }
}

const changed = async (...args) => (await change(...args)).json();

export const api = {
  stacks: () => get('stacks'),
  overview: (stack) => get('overview', { stack }),
  runs: (stack, query, options) => get('runs', { stack, ...query }, options),
  summaries: (stack, arn) => get('run-summaries', { stack, arn }),
  run: (stack, arn, options) => get('run', { stack, arn }, options),
  visits: (stack, arn, path, index) => get('visits', { stack, arn, path: JSON.stringify(path), index }),
  deadLetters: (stack, query, options) => get('dead-letters', { stack, ...query }, options),
  /** What a stop or a redrive would do, in sentences. */
  plan: (stack, arn, what) => get('plan', { stack, arn, do: what }),
  stream: (stack, run) => address('stream', { stack, run }),

  /** body is JSON as text, because events keep the digits of their numbers. */
  start: (stack, body) => changed('start', { stack }, body),
  startFile: (stack, file, format) => changed('start-file', { stack, name: file.name, format }, file, 'application/octet-stream'),
  retry: (stack) => changed('retry', { stack }, '{}'),
  stop: (stack, arn) => changed('stop', { stack }, JSON.stringify({ arn })),
  redrive: (stack, arn) => changed('redrive', { stack }, JSON.stringify({ arn })),
  redriveLetters: (stack, choice) => changed('dead-letters/redrive', { stack }, JSON.stringify(choice)),
  editLetter: (stack, id, payload) => changed('dead-letters/edit', { stack }, `{"message_id":${JSON.stringify(id)},"payload":${payload}}`),
  exportLetters: async (stack, choice) => (await change('dead-letters/export', { stack }, JSON.stringify(choice))).blob(),
  /** The server has kept the letters in a file, kept, before it deleted them. */
  dropLetters: async (stack, choice) => {
    const answer = await change('dead-letters/drop', { stack }, JSON.stringify(choice));
    return { file: await answer.blob(), kept: answer.headers.get('X-Carnation-Kept'), count: Number(answer.headers.get('X-Carnation-Count')) };
  },
};

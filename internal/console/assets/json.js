// JSON of the user's events, with every digit as it is written.

/** Whether this browser can read numbers without losing digits. */
export const exactNumbers = typeof JSON.rawJSON === 'function';

/** Like JSON.parse. But a number that JavaScript would round or write in another way, such as 12.50, stays as it is written. */
export function parseExactly(text) {
  if (!exactNumbers) return JSON.parse(text);
  return JSON.parse(text, (_, value, context) => (
    typeof value === 'number' && context && context.source !== String(value) ? JSON.rawJSON(context.source) : value));
}

/** JSON with line breaks. */
export const pretty = (value) => (value === undefined ? '' : JSON.stringify(value, null, 2));

/**
 * Reads pasted events: a list of objects, one object, or one object in each line.
 * @returns {{texts: string[], error?: string}} the text of each event as it is written
 */
export function readEvents(text) {
  const trimmed = text.trim();
  if (!trimmed) return { texts: [] };
  try {
    const value = parseExactly(trimmed);
    const list = Array.isArray(value) ? value : [value];
    const bad = list.findIndex((v) => v === null || typeof v !== 'object' || Array.isArray(v));
    if (bad >= 0) return { texts: [], error: `Event ${bad + 1} must be a JSON object.` };
    return { texts: list.map((v) => JSON.stringify(v)) };
  } catch (whole) {
    if (trimmed.startsWith('[')) return { texts: [], error: `The text must be a list of JSON objects. ${whole.message}` };
  }
  const texts = [];
  for (const [i, line] of trimmed.split('\n').entries()) {
    if (!line.trim()) continue;
    try {
      const value = parseExactly(line);
      if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error('It is another kind of value.');
      texts.push(JSON.stringify(value));
    } catch (e) {
      return { texts: [], error: `Line ${i + 1} must be a JSON object. ${e.message}` };
    }
  }
  return { texts };
}

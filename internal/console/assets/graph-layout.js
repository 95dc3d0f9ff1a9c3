// Lays out a state machine. The inside of each Map state is laid out alone and then is one node of its size, because dagre cannot lay
// out an edge to a cluster.
import { dagre } from './lib.js';
import { pathKey } from './format.js';

const nodeHeight = 54;
const headHeight = 50; // of a Map, above its inside
const padding = 18;
const leastWidth = 172;
const mostWidth = 250;

/**
 * @typedef {{key: string, path: string[], name: string, type: string, x: number, y: number, w: number, h: number, inside: Layout[]}} Node
 *   x and y are of the top left corner, inside of its layout
 * @typedef {{from: string, to: string, kind: 'next'|'choice'|'default'|'error', points: {x: number, y: number}[]}} Edge
 * @typedef {{w: number, h: number, nodes: Node[], edges: Edge[], start: {x: number, y: number}}} Layout
 */

/** The edges that leave a state, without repetitions: [to, kind]. An edge that is not only for errors is drawn as such. */
export function edgesOf(state) {
  const edges = new Map();
  const add = (to, kind) => to && (!edges.has(to) || edges.get(to) === 'error') && edges.set(to, kind);
  add(state.Next, 'next');
  for (const choice of state.Choices || []) add(choice.Next, 'choice');
  add(state.Default, 'default');
  for (const handler of state.Catch || []) add(handler.Next, 'error');
  return [...edges];
}

/** The machines inside of a state: of a Map or of a Parallel state. */
const insideOf = (state) => (state.Branches || [state.ItemProcessor || state.Iterator]).filter((m) => m && m.States);

/**
 * @param {object} machine StartAt and States
 * @param {(text: string) => number} widthOf a name
 * @param {(path: string[]) => boolean} isOpen whether the inside of a Map state is drawn
 * @param {string[]} path of the Map states around it
 * @returns {Layout}
 */
export function layoutMachine(machine, widthOf, isOpen, path = []) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'TB', nodesep: 26, ranksep: 34, edgesep: 14, marginx: 4, marginy: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  const nodes = new Map();
  graph.setNode('start', { width: 14, height: 14 });
  for (const [name, state] of Object.entries(machine.States || {})) {
    const machines = insideOf(state);
    const inside = machines.length && isOpen([...path, name]) ? machines.map((m) => layoutMachine(m, widthOf, isOpen, [...path, name])) : [];
    let w = Math.min(mostWidth, Math.max(leastWidth, widthOf(name) + 62));
    let h = nodeHeight;
    if (inside.length) {
      w = Math.max(w, inside.reduce((sum, l) => sum + l.w, 0) + padding * (inside.length + 1));
      h = headHeight + Math.max(...inside.map((l) => l.h)) + padding;
    }
    nodes.set(name, { key: pathKey([...path, name]), path: [...path, name], name, type: state.Type, w, h, inside });
    graph.setNode('state ' + name, { width: w, height: h });
  }
  const edge = (from, to, kind) => graph.hasNode(to) && graph.setEdge(from, to, { kind }, kind);
  edge('start', 'state ' + machine.StartAt, 'next');
  for (const [name, state] of Object.entries(machine.States || {})) {
    for (const [to, kind] of edgesOf(state)) edge('state ' + name, 'state ' + to, kind);
  }
  dagre.layout(graph);
  for (const [name, node] of nodes) {
    const at = graph.node('state ' + name);
    node.x = at.x - at.width / 2;
    node.y = at.y - at.height / 2;
  }
  const start = graph.node('start');
  const edges = graph.edges().map((e) => ({ from: e.v.replace(/^state /, ''), to: e.w.replace(/^state /, ''), kind: graph.edge(e).kind, points: graph.edge(e).points }));
  // An edge can go around a node, outside of what dagre counts.
  const xs = edges.flatMap((e) => e.points.map((p) => p.x));
  const left = Math.max(0, 4 - Math.min(4, ...xs));
  for (const node of nodes.values()) node.x += left;
  return {
    w: Math.max(graph.graph().width, ...xs.map((x) => x + 4)) + left,
    h: graph.graph().height,
    nodes: [...nodes.values()],
    start: { x: start.x + left, y: start.y },
    edges: edges.map((e) => ({ ...e, points: e.points.map((p) => ({ x: p.x + left, y: p.y })) })),
  };
}

/** A smooth line through points, as the path of an SVG. */
export function curve(points) {
  const p = points.map(({ x, y }) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]);
  let d = `M${p[0]}`;
  for (let i = 1; i < p.length - 1; i++) {
    const end = i === p.length - 2 ? p[i + 1] : [(p[i][0] + p[i + 1][0]) / 2, (p[i][1] + p[i + 1][1]) / 2];
    d += `Q${p[i]} ${end}`;
  }
  return p.length < 3 ? d + `L${p[p.length - 1]}` : d;
}

// Lines over time, with uPlot. Each line has its own dashes, and the values under the pointer are also text.
import { html, uPlot, useEffect, useRef, useState } from './lib.js';
import { count } from './format.js';
import { textScale, useScheme, useWidth } from './ui.js';

const color = (el, name) => getComputedStyle(el).getPropertyValue(name).trim();

/**
 * @param {object} props
 * @param {string} props.label what the plot shows, for people who do not see it
 * @param {number[]} props.x
 * @param {{name: string, color: string, values: number[], dash?: number[], fill?: boolean, steps?: boolean}[]} props.lines color is a property of style.css
 * @param {(x: number, step?: number) => string} props.xText of a value, or of a mark of the axis
 * @param {boolean} [props.time] x is in Unix seconds
 * @param {number} [props.height]
 */
export function Plot({ label, x, lines, xText, time = false, height = 150 }) {
  const box = useRef(null);
  const plot = useRef(null);
  const scheme = useScheme();
  const width = useWidth(box);
  const [at, setAt] = useState(null);
  const data = [x, ...lines.map((l) => l.values)];
  const names = lines.map((l) => l.name).join();

  useEffect(() => {
    if (!width) return undefined;
    const el = box.current;
    const zoom = textScale();
    const axis = {
      stroke: color(el, '--muted'), font: `${12 * zoom}px ${getComputedStyle(el).fontFamily}`, grid: { stroke: color(el, '--line'), width: 1 }, ticks: { show: false },
    };
    plot.current = new uPlot({
      width,
      height,
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      hooks: { setCursor: [(u) => setAt(u.cursor.idx === undefined ? null : u.cursor.idx)] },
      scales: { x: { time }, y: { range: (u, low, high) => [0, Math.max(1, high * 1.15)] } },
      axes: [
        { ...axis, size: 28 * zoom, grid: { show: false }, space: 70 * zoom, values: (u, ticks, i, space, step) => ticks.map((t) => xText(t, step)) },
        { ...axis, size: 52 * zoom, space: 36 * zoom, values: (u, ticks) => ticks.map((v) => (Number.isInteger(v) ? count(v) : '')) },
      ],
      series: [{}, ...lines.map((l) => ({
        stroke: color(el, l.color), width: 2, dash: l.dash, points: { show: x.length === 1 },
        fill: l.fill ? color(el, l.color) + '22' : undefined, paths: l.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
      }))],
    }, data, el);
    return () => { plot.current.destroy(); plot.current = null; };
  }, [scheme, names, time, height, width > 0]);
  useEffect(() => { if (plot.current && width) plot.current.setSize({ width, height }); }, [width]);
  useEffect(() => { if (plot.current) plot.current.setData(data); }, [x, lines]);

  const i = at === null || at >= x.length ? x.length - 1 : at;
  return html`<figure class="plot"><div class="plot-box" role="img" aria-label=${label} ref=${box}></div>
    <figcaption><span class="plot-at">${x.length ? `${i === x.length - 1 ? 'latest, ' : ''}${xText(x[i])}` : ''}</span>${lines.map((l) => html`
      <span class="plot-value"><svg class="plot-key" viewBox="0 0 24 8" aria-hidden="true"><path class=${l.color.slice(2)} d="M0 4H24" stroke-dasharray=${l.dash ? l.dash.join(' ') : 'none'} /></svg>${l.name} <b>${count(l.values[i])}</b></span>`)}
    </figcaption></figure>`;
}

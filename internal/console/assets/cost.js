// What a run cost, part by part.
import { html } from './lib.js';
import { money, quantity } from './format.js';
import { Data, Empty, Section } from './ui.js';

export function CostTable({ doc }) {
  const { cost } = doc;
  const most = Math.max(1e-12, ...cost.lines.map((l) => l.usd));
  return html`<${Section} id="cost" title="Cost" className="wide" note=${cost.lines.length ? `List prices of ${cost.price_region} as of ${cost.price_date}, without any free tier.` : ''}>
    ${cost.lines.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Cost, part by part"><table class="table cost-table"><caption class="hidden">Cost, part by part</caption>
      <thead><tr><th scope="col">Part</th><th scope="col" class="num">Cost</th><th scope="col" class="num">Quantity</th><th scope="col">Known how</th></tr></thead>
      <tbody>${cost.lines.map((l) => html`<tr key=${l.part}><th scope="row"><${Data}>${l.part}<//>${l.note && html`<span class="note"><${Data}>${l.note}<//></span>`}</th>
        <td class="num"><span title=${money(l.usd)}>${l.usd > 0 && l.usd < 0.0001 ? '< $0.0001' : money(l.usd)}</span><meter class="share" min="0" max=${most} value=${l.usd} aria-hidden="true"></meter></td>
        <td class="num">${quantity(l.quantity)} <span class="note"><${Data}>${l.unit}<//></span></td><td>${l.basis}</td></tr>`)}</tbody>
      <tfoot><tr><th scope="row">Total</th><td class="num"><b>${money(cost.usd)}</b></td><td></td><td></td></tr></tfoot></table></div>`
    : html`<${Empty}>The cost is not known.<//>`}
  <//>`;
}

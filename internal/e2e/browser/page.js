// What the tests need in each page. It runs before the scripts of the page, and changes nothing that they can see but forTest.
"use strict";
window.forTest = (() => {
  addEventListener("securitypolicyviolation", (e) =>
    window.reportToTest(`the page violates its content security policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`), true);

  let tasks = [];
  try {
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask", buffered: true });
  } catch { /* about:blank has none */ }

  const squeeze = (text) => (text || "").replace(/\s+/g, " ").trim();
  const text = () => squeeze(document.body.innerText);

  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }) && e.getClientRects().length > 0;
  // A label may stand for its field.
  const visible = (e) => shown(e) || [...(e.labels || [])].some(shown);

  // The elements that can have a role, so that the browser need not compute it for all.
  const selectors = {
    button: "button, [role=button], summary, input[type=button], input[type=submit], input[type=file]",
    link: "a, [role=link]",
    textbox: "input, textarea, [contenteditable], [role=textbox]",
    searchbox: "input, [role=searchbox]",
    spinbutton: "input, [role=spinbutton]",
    checkbox: "input, [role=checkbox]",
    radio: "input, [role=radio]",
    combobox: "select, input, [role=combobox]",
    option: "option, [role=option]",
    tab: "[role=tab]",
    row: "tr, [role=row]",
    dialog: "dialog, [role=dialog], [role=alertdialog]",
    alert: "[role=alert]",
    heading: "h1, h2, h3, h4, h5, h6, [role=heading]",
  };

  const matcher = (name) => {
    const pattern = /^\/(.*)\/$/s.exec(name);
    return pattern ? (is) => new RegExp(pattern[1]).test(is) : (is) => is === name;
  };

  // A modal dialog makes all that is outside of it useless.
  const modal = () => [...document.querySelectorAll("dialog:modal, [aria-modal=true]")].filter(visible).at(-1);
  const find = (role, name) => {
    const matches = matcher(name);
    const top = modal();
    return [...document.querySelectorAll(selectors[role] || "*")].find((e) =>
      (!top || top.contains(e)) && visible(e) && !e.disabled && e.getAttribute("aria-disabled") !== "true" && e.computedRole === role && matches(squeeze(e.computedName))) || null;
  };

  const middle = (e) => {
    e.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const box = [...e.getClientRects()].find((r) => r.width > 0 && r.height > 0) || e.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };

  const point = (role, name) => {
    const e = find(role, name);
    if (!e) return null;
    const at = middle(e);
    const top = document.elementFromPoint(...at);
    const labels = e.labels ? [...e.labels] : [];
    return top && (e === top || e.contains(top) || top.contains(e) && e.closest("svg") || labels.some((l) => l.contains(top))) ? at : null;
  };

  const describe = (e) => `${e.computedRole || e.tagName.toLowerCase()} "${squeeze(e.computedName || e.textContent).slice(0, 60)}"`;
  const focused = () => describe(document.activeElement);

  // Whether an element is before the one that has the focus.
  const isAbove = (role, name) => {
    const e = document.activeElement;
    const to = find(role, name);
    return !!e && e !== document.body && !!to && !!(e.compareDocumentPosition(to) & Node.DOCUMENT_POSITION_PRECEDING) && !to.contains(e);
  };

  // Where Tab has stopped.
  const stop = (role, name) => {
    const e = document.activeElement;
    if (!e || e === document.body) return { Found: false, Name: "nothing", Wrong: "" };
    const style = getComputedStyle(e);
    const box = e.getBoundingClientRect();
    let wrong = "";
    if (!squeeze(e.computedName) && e.tabIndex >= 0 && !["generic", "group", "region"].includes(e.computedRole)) wrong = `has no name: ${e.outerHTML.slice(0, 120)}`;
    else if (!visible(e)) wrong = "is not visible";
    else if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) wrong = "is outside of the window";
    else if (!showsFocus(e, style)) wrong = "does not show that it has the focus";
    return { Found: e.computedRole === role && matcher(name)(squeeze(e.computedName)), Name: describe(e), Wrong: wrong };
  };

  // An outline or a shadow, of the element or of what is in it.
  const showsFocus = (e, style) => {
    const ring = (s) => (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
    return ring(style) || [...(e.labels || [])].some((l) => ring(getComputedStyle(l))) || [...e.querySelectorAll("*")].slice(0, 20).some((child) => ring(getComputedStyle(child)) || (getComputedStyle(child).strokeWidth !== "1px" && child instanceof SVGElement));
  };

  // Colours, as [red, green, blue, alpha] from 0 to 1.
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const colour = (css) => {
    if (!colours.has(css)) {
      pen.canvas.width = 1; // clears it
      pen.fillStyle = css;
      pen.fillRect(0, 0, 1, 1);
      colours.set(css, [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255));
    }
    return colours.get(css);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  // Many texts have the same ancestors: what a look at the page computes of an element, it computes once.
  const once = (compute) => {
    const known = new Map();
    return (e) => {
      if (!known.has(e)) known.set(e, compute(e));
      return known.get(e);
    };
  };
  const opacities = () => {
    const opacity = once((e) => (e ? parseFloat(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1));
    return opacity;
  };

  // What is painted under a text: the backgrounds of its ancestors, and the shapes of its drawing that lie under it.
  const background = (e, box, opacity, fill) => {
    const layers = [];
    const drawing = e.closest("svg");
    if (drawing) {
      const at = [box.left + box.width / 2, box.top + box.height / 2];
      for (const shape of [...drawing.querySelectorAll("rect, circle, ellipse, polygon, path")].reverse()) {
        if (!(shape.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
        const style = getComputedStyle(shape);
        const r = shape.getBoundingClientRect();
        if (style.fill === "none" || shape.closest("defs, marker, clipPath") || at[0] < r.left || at[0] > r.right || at[1] < r.top || at[1] > r.bottom) continue;
        const [red, green, blue, alpha] = colour(style.fill);
        layers.push([red, green, blue, alpha * parseFloat(style.fillOpacity) * opacity(shape)]);
      }
    }
    for (let at = e; at; at = at.parentElement) layers.push(fill(at));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark");
    let result = dark ? [18 / 255, 18 / 255, 18 / 255, 1] : [1, 1, 1, 1];
    for (const layer of layers.reverse()) result = over(layer, result);
    return result;
  };

  // The texts that are visible: [text, its element, its box]. What an ancestor clips is not visible.
  const texts = () => {
    const found = [];
    const frames = once((e) => {
      const s = getComputedStyle(e);
      return {
        hidden: s.clipPath !== "none" && s.position === "absolute", // from the eye, for screen readers
        clips: s.overflowX !== "visible" || s.overflowY !== "visible" ? e.getBoundingClientRect() : null,
        fixed: s.position === "fixed",
      };
    });
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const e = node.parentElement;
      if (!squeeze(node.data) || !e || ["SCRIPT", "STYLE", "OPTION", "TITLE", "DESC"].includes(e.tagName.toUpperCase()) || !visible(e)) continue;
      range.selectNodeContents(node);
      for (const r of range.getClientRects()) {
        const box = clip(r, e, frames);
        if (box.right - box.left > 1 && box.bottom - box.top > 1) found.push([squeeze(node.data).slice(0, 60), e, box]);
      }
    }
    return found;
  };
  const clip = (r, e, frames) => {
    let { left, top, right, bottom } = r;
    for (let at = e; at && at !== document.documentElement && at !== document.body; at = at.parentElement) {
      const { hidden, clips, fixed } = frames(at);
      if (hidden) right = left;
      if (clips) [left, top, right, bottom] = [Math.max(left, clips.left), Math.max(top, clips.top), Math.min(right, clips.right), Math.min(bottom, clips.bottom)];
      if (fixed) break;
    }
    return { left, top, right, bottom, width: right - left, height: bottom - top };
  };

  const contrast = () => {
    const wrong = new Set();
    const opacity = opacities();
    const fill = once((e) => colour(getComputedStyle(e).backgroundColor));
    for (const [text, e, box] of texts()) {
      if (e.closest(":disabled, [aria-disabled=true]")) continue; // WCAG leaves out what cannot be used
      const style = getComputedStyle(e);
      const below = background(e, box, opacity, fill);
      const css = e.closest("svg") ? style.fill : style.color;
      const [r, g, b, a] = colour(css);
      const is = ratio(over([r, g, b, a * opacity(e)], below), below);
      const size = parseFloat(style.fontSize);
      const need = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
      if (is < need - 0.005) wrong.add(`"${text.slice(0, 30)}" (${describePlace(e)}) has a contrast of ${is.toFixed(2)}, want ${need}: ${css} on rgb(${below.slice(0, 3).map((v) => Math.round(v * 255))})`);
    }
    return [...wrong];
  };
  const describePlace = (e) => e.tagName.toLowerCase() + (e.getAttribute("class") ? "." + e.getAttribute("class").trim().replace(/\s+/g, ".") : "");

  const layout = () => {
    const wrong = new Set();
    const page = document.scrollingElement;
    if (page.scrollWidth > page.clientWidth) {
      const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > page.clientWidth + 1 && visible(e)).map(describePlace);
      wrong.add(`the page is ${page.scrollWidth} pixels wide in a window of ${page.clientWidth}: ${[...new Set(wide)].slice(0, 8).join(", ")}`);
    }
    // Only what does not float over the page can be compared with it.
    const floats = once((e) => (!e || ["fixed", "sticky"].includes(getComputedStyle(e).position) ? e : floats(e.parentElement)));
    const all = texts().map(([text, e, box]) => ({ text, e, box, floats: floats(e) })).sort((a, b) => a.box.top - b.box.top);
    for (const { text, e, box } of all) {
      if (box.right <= 0) continue; // hidden until it has the focus
      if (box.left < -1 || box.right > page.clientWidth + 1) wrong.add(`"${text}" (${describePlace(e)}) is outside of the window: from ${Math.round(box.left)} to ${Math.round(box.right)} of ${page.clientWidth}`);
    }
    for (let i = 0; i < all.length && wrong.size < 50; i++) {
      for (let j = i + 1; j < all.length && all[j].box.top < all[i].box.bottom; j++) {
        const [a, b] = [all[i], all[j]];
        if (a.e === b.e || a.floats !== b.floats) continue;
        const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        if (width > 2 && height > Math.min(a.box.height, b.box.height) / 3) wrong.add(`"${a.text}" (${describePlace(a.e)}) and "${b.text}" (${describePlace(b.e)}) lie on each other`);
      }
    }
    for (const e of document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, [role=button], [role=tab], [tabindex='0']")) {
      if (visible(e) && (!modal() || modal().contains(e)) && !squeeze(e.computedName) && !["generic", "group", "region"].includes(e.computedRole)) wrong.add(`a ${e.computedRole} has no name: ${e.outerHTML.slice(0, 120)}`);
    }
    return [...wrong];
  };

  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const timeTo = async (address, selector) => {
    const began = performance.now();
    location.href = address;
    do await frame(); while (!document.querySelector(selector));
    return performance.now() - began;
  };
  const scroll = async () => {
    for (const list of [document.scrollingElement, ...document.querySelectorAll(".rows")]) {
      if (list !== document.scrollingElement) list.scrollIntoView({ block: "center", behavior: "instant" });
      const step = Math.max(100, (list.scrollHeight - list.clientHeight) / 60);
      for (let i = 0; i < 60; i++) {
        list.scrollTop += step;
        await frame();
      }
    }
  };

  const longTasks = () => { const were = tasks; tasks = []; return were; };

  // The innermost elements whose own text has these characters.
  const containing = (part) => [...document.querySelectorAll("#app *")].filter((e) => visible(e) && [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.includes(part)));

  return { text, containing, find, middle, point, focused, isAbove, stop, contrast, layout, timeTo, scroll, longTasks };
})();

"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const study = JSON.parse(byId("data").textContent);
  const config = {
    responsive: true, displaylogo: false, typesetMath: false,
    modeBarButtons: [["toImage", "resetScale2d"]],
  };

  // ---- tables, which need no library ----

  const SCALE = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, ms: 1e-3, us: 1e-6, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };
  const keyOf = (cell) => {
    const text = (cell.dataset.key ?? cell.textContent).trim().replace(/,(?=\d{3})/g, "");
    const found = /^(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s?(k|M|G|T|ms|us|kB|MB|GB|TB)?(?![\w])/.exec(text);
    return found ? Number(found[1]) * (SCALE[found[2]] ?? 1) : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  };
  const sortBy = (table, column, heads) => {
    const head = heads[column], body = table.tBodies[0];
    const down = head.ariaSort ? head.ariaSort === "ascending" : body.rows.length > 0 && typeof keyOf(body.rows[0].cells[column]) === "number" && column > 0;
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
    // Empty cells stay last in both directions.
    rows.sort(([a], [b]) => (down && a !== "" && b !== "" ? -compare(a, b) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("main table")) {
    if (table.tBodies.length && table.tBodies[0].rows.length > 1) {
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        button.addEventListener("click", () => sortBy(table, column, heads));
        head.replaceChildren(button);
      });
    }
  }

  // ---- figures ----

  const unpacked = async (text) => {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const library = document.createElement("script");
  library.textContent = await unpacked(byId("library").textContent);
  byId("library").remove();
  document.head.append(library);

  const colours = new Map();
  /** A copy in which each name of a CSS variable is its value. */
  const resolved = (value) => {
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolved(one)]));
    if (typeof value !== "string" || !value.startsWith("var(")) return value === "inherit" ? getComputedStyle(document.body).fontFamily : value;
    if (!colours.has(value)) colours.set(value, getComputedStyle(document.documentElement).getPropertyValue(value.slice(4, -1)).trim());
    return colours.get(value);
  };
  const isPlain = (value) => value && typeof value === "object" && !Array.isArray(value);
  const merged = (base, change) => {
    if (!isPlain(base) || !isPlain(change)) return change === undefined ? base : change;
    const found = { ...base };
    for (const [key, value] of Object.entries(change)) found[key] = merged(base[key], value);
    return found;
  };
  const filled = (template, change) => ({
    data: template.data.map((trace, i) => merged(trace, change?.data?.[i])),
    layout: merged(template.layout, change?.layout),
  });
  const narrow = matchMedia("(max-width: 640px)");
  const touch = matchMedia("(hover: none)");
  const draw = (id, figure, options = {}) => {
    const { data, layout } = resolved(figure);
    const small = touch.matches || narrow.matches;
    if (small) layout.dragmode = false; // a finger scrolls the page
    return Plotly.react(byId(id), data, layout, { ...config, displayModeBar: small ? false : "hover", ...options });
  };

  const figures = study.figures;
  let chosen = study.start, cost = Object.keys(figures.front?.views ?? {})[0];

  const front = () => {
    const figure = filled(figures.front, figures.front.views[cost]);
    const ring = figure.data.find((trace) => trace.meta === "selected");
    const points = figure.data.flatMap((trace) => (trace.customdata ?? []).map((number, i) => [number, trace.x[i], trace.y[i]]));
    const own = points.filter(([number]) => number === chosen);
    ring.x = own.map(([, x]) => x);
    ring.y = own.map(([, , y]) => y);
    return draw("front-plot", figure);
  };
  const curves = () => {
    const figure = filled(figures.curves);
    const own = figure.data.find((trace) => trace.meta === "selected");
    const points = figure.data.flatMap((trace) => (trace.mode === "markers" ? [] : (trace.customdata ?? []).map((number, i) => [number, trace.x[i], trace.y[i]])));
    own.x = points.filter(([number]) => number === chosen).map(([, x]) => x);
    own.y = points.filter(([number]) => number === chosen).map(([, , y]) => y);
    return draw("curves-plot", figure);
  };
  const panel = async () => {
    const one = study.candidates[chosen];
    byId("candidate").value = String(chosen);
    byId("spec").replaceChildren(...one.spec.map(([name, value]) => {
      const line = [document.createElement("dt"), document.createElement("dd")];
      line[0].textContent = name;
      line[1].textContent = value;
      return line;
    }).flat());
    byId("curve-plot").hidden = !one.curve;
    byId("curve-note").hidden = Boolean(one.curve);
    if (one.curve) await draw("curve-plot", filled(figures.curve, one.curve), { displayModeBar: false });
    const graph = study.graphs[one.graph];
    const place = byId("graph-plot");
    const unit = Math.min(58, Math.max(30, (place.parentElement.clientWidth || 330) / graph.wide));
    const figure = filled(figures.graph, graph);
    Object.assign(figure.layout, { width: Math.floor(unit * graph.wide), height: Math.ceil(unit * graph.high), autosize: false });
    for (const trace of figure.data) {
      if (trace.meta) trace.marker = { ...trace.marker, size: Math.round(unit * (trace.meta === "nodes" ? 0.54 : 0.5)) };
    }
    place.setAttribute("aria-label", graph.alt);
    await draw("graph-plot", figure, { displayModeBar: false, responsive: false });
    for (const row of document.querySelectorAll("#all tbody tr")) {
      if (Number(row.dataset.candidate) === chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  };
  const below = {
    "curves-plot": curves,
    "importance-plot": () => draw("importance-plot", figures.importance, { displayModeBar: false }),
    "progress-plot": () => draw("progress-plot", figures.progress),
  };
  const seen = new Set(); // those of `below` that were drawn, each when it comes near the window
  const all = () => Promise.all([figures.front && front(), figures.front && panel(), ...[...seen].map((id) => below[id]())]);
  const choose = async (number, scroll = false) => {
    chosen = number;
    await Promise.all([front(), panel(), seen.has("curves-plot") && curves()]);
    if (scroll || narrow.matches) byId("panel").scrollIntoView({ block: "nearest" });
  };

  await all();
  const near = new IntersectionObserver((entries) => entries.filter((one) => one.isIntersecting).forEach(async ({ target }) => {
    near.unobserve(target);
    await below[target.id]();
    seen.add(target.id);
    if (target.id === "curves-plot") target.on("plotly_click", (event) => clicked(event, true));
  }), { rootMargin: "600px" });
  const clicked = ({ points }, scroll) => Number.isInteger(points[0]?.customdata) && choose(points[0].customdata, scroll);
  if (figures.front) {
    for (const input of document.querySelectorAll(".switch input")) {
      input.addEventListener("change", () => { cost = input.value; front(); });
    }
    byId("candidate").addEventListener("change", (event) => choose(Number(event.target.value)));
    byId("front-plot").on("plotly_click", (event) => clicked(event, false));
    byId("all").addEventListener("click", (event) => {
      const row = event.target.closest("button.pick")?.closest("tr");
      if (row) choose(Number(row.dataset.candidate), true);
    });
  }
  for (const id of Object.keys(below)) if (byId(id)) near.observe(byId(id));
  const again = () => { colours.clear(); all(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  narrow.addEventListener("change", again);
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
})();

// Draws the charts, links their legends, offers downloads. Names come as data, never as markup.
(() => {
  "use strict";
  const root = document.documentElement;
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const views = new Map(); // chart id → Vega view

  const embed = (element, spec, config, renderer) => vegaEmbed(element, spec, {
    actions: false,
    ast: true, // expressions are interpreted: the page's policy forbids eval
    config,
    defaultStyle: false,
    mode: "vega-lite",
    renderer,
    tooltip: { disableDefaultStyle: true },
  });

  // On the page a chart is as wide as its place, and headings and legends are HTML.
  const forPage = (spec) => {
    const { title, ...rest } = structuredClone(spec);
    withoutLegends(rest);
    if (rest.vconcat) return rest; // Vega-Lite has no container width for these: see `fit`
    return { ...rest, width: "container", autosize: { type: "fit-x", contains: "padding" } };
  };

  const withoutLegends = (part) => {
    if (part.encoding?.color) part.encoding.color.legend = null;
    for (const inner of [...(part.layer ?? []), ...(part.vconcat ?? [])]) withoutLegends(inner);
  };

  const draw = async (element) => {
    const id = element.dataset.chart;
    const { view } = await embed(element, forPage(page.charts[id]), page.config, "svg");
    views.set(id, view);
    if (!page.charts[id].vconcat) return;
    await fit(element, view);
    new ResizeObserver(() => fit(element, view)).observe(element);
  };

  // Stacked panels: as wide as is left beside the axes, which do not depend on the width.
  const fit = async (element, view) => {
    const drawn = element.querySelector("svg").viewBox.baseVal.width;
    const width = Math.floor(view.width() + element.clientWidth - drawn);
    if (width < 40 || Math.abs(width - view.width()) < 1) return;
    await view.width(width).runAsync();
  };

  // --- legends: choose arms, in all charts of a figure at once ---------------------------------

  const applyChoice = (figure) => {
    const keys = [...figure.querySelectorAll(".key")];
    const chosen = keys.filter((key) => key.getAttribute("aria-pressed") === "true");
    figure.querySelector(".legend").classList.toggle("choosing", chosen.length > 0);
    const { field, names } = page.legends[figure.closest("section").id];
    const tuples = chosen.map((key) => ({
      unit: "", fields: [{ type: "E", field }], values: [names[key.dataset.arm]],
    }));
    for (const element of figure.querySelectorAll("[data-chart]")) {
      views.get(element.dataset.chart)?.data("pick_store", structuredClone(tuples)).run();
    }
  };

  const choose = (figure, key) => {
    const pressed = key.getAttribute("aria-pressed") === "true";
    key.setAttribute("aria-pressed", String(!pressed));
    const keys = [...figure.querySelectorAll(".key")];
    if (keys.every((other) => other.getAttribute("aria-pressed") === "true")) {
      keys.forEach((other) => other.setAttribute("aria-pressed", "false")); // all = no choice
    }
    applyChoice(figure);
  };

  // --- downloads: the chart as it is on file, whatever the theme and width ----------------------

  const save = (name, href) => {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
  };

  const saveText = (name, type, text) => {
    const href = URL.createObjectURL(new Blob([text], { type }));
    save(name, href);
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  };

  const csvCell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  // A chart's main data: the longest of its tables (guides have one row).
  const csv = (spec) => {
    const own = [spec, ...(spec.layer ?? [])].map((part) => part.data?.values ?? []);
    const tables = [...Object.values(spec.datasets ?? {}), ...own];
    return csvOf(tables.reduce((longest, one) => one.length > longest.length ? one : longest));
  };

  const csvOf = (rows) => {
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const lines = rows.map((row) => names.map((name) => csvCell(row[name])).join(","));
    return [names.join(","), ...lines, ""].join("\r\n");
  };

  const download = async (id, kind) => {
    if (page.tables[id]) return saveText(`${id}.csv`, "text/csv", csvOf(page.tables[id]));
    const spec = page.charts[id];
    if (kind === "csv") return saveText(`${id}.csv`, "text/csv", csv(spec));
    const element = document.createElement("div");
    const { view } = await embed(element, spec, page.fileConfig, "none");
    if (kind === "svg") saveText(`${id}.svg`, "image/svg+xml", await view.toSVG());
    else save(`${id}.png`, await view.toImageURL("png", 2));
    view.finalize();
  };

  // --- theme ------------------------------------------------------------------------------------

  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark"; // charts follow: their colours are variables
    try { localStorage.setItem("fastpipe-theme", root.dataset.theme); } catch { /* forbidden */ }
  });

  // --- table of contents ------------------------------------------------------------------------

  const links = new Map([...document.querySelectorAll(".contents a")].map(
    (link) => [link.getAttribute("href").slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  links.forEach((_, id) => watcher.observe(document.getElementById(id)));

  // --- claims: filters, and opening the one that a link leads to ---------------------------------

  const filters = document.querySelector(".filters");
  const claims = [...document.querySelectorAll(".claims > tbody")];

  const applyFilters = () => {
    const verdict = document.getElementById("filter-verdict").value;
    const paper = document.getElementById("filter-paper").value;
    for (const claim of claims) {
      claim.hidden = (verdict && claim.dataset.verdict !== verdict)
        || (paper && claim.dataset.paper !== paper);
    }
    const shown = claims.filter((claim) => !claim.hidden).length;
    document.getElementById("filter-state").textContent
      = `${shown} of ${claims.length} claims shown`;
  };

  const openTarget = () => {
    const claim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!claim?.matches(".claim")) return;
    if (claim.hidden) {
      for (const select of filters.querySelectorAll("select")) select.value = "";
      applyFilters();
    }
    claim.querySelector("details").open = true;
    claim.scrollIntoView();
  };

  if (filters) {
    filters.hidden = false;
    filters.addEventListener("change", applyFilters);
    applyFilters(); // a browser may keep a choice when the page is loaded again
    addEventListener("hashchange", openTarget);
    openTarget();
  }

  document.addEventListener("click", (event) => {
    const key = event.target.closest(".key");
    if (key) choose(key.closest("figure"), key);
    const button = event.target.closest("[data-download]");
    if (button) download(button.dataset.of, button.dataset.download);
    // The link followed last, once more: there is no hashchange then.
    const link = event.target.closest("a[href]");
    if (link && location.hash && link.getAttribute("href") === location.hash) openTarget();
  });

  Promise.all([...document.querySelectorAll("[data-chart]")].map(draw)).then(
    () => { root.dataset.state = "drawn"; },
    (error) => { root.dataset.state = "failed"; console.error(error); },
  );
})();

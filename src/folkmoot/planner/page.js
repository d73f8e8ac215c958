// What the planner's page does with PLAN and reckon(), which stand before it: the same as planner/capacity.py.

function answer(given, costs) {
  const values = reckon({...PLAN.aside, ...given, ...costs});
  return {values, machines: PLAN.kinds.map((kind) => machinesOf(kind, values))};
}

function machinesOf(kind, values) {
  const of = Object.fromEntries(kind.needs.map((need) => [need.by, values[need.step]]));
  const fewest = kind.least in values ? values[kind.least] : Number(kind.least);
  const most = (names) => names.reduce((best, name) => (of[name] > of[best] ? name : best));
  const parts = Object.keys(of).filter((name) => PLAN.core_needs.includes(name));
  let by = most(Object.keys(of));
  if (fewest >= of[by]) by = `${fewest.toFixed(0)} at least`;
  else if (by === "cores" && parts.length) by = `cores, most of them for ${most(parts)}`;
  const cores = kind.cores.reduce((sum, name) => sum + values[name], 0);
  return {kind: kind.name, what: kind.what, count: values[kind.name], by, of, cores};
}

function costsAt(end) {
  const taken = (one) => {
    if (end === "median") return one.median;
    return (end === "best") === PLAN.better.includes(one.name) ? one.most : one.least;
  };
  return Object.fromEntries(PLAN.measured.map((one) => [one.name, taken(one)]));
}

function shown(value, unit = "") {
  if (["bytes", "bytes a day", "bit/s"].includes(unit) && value >= 1000) {
    const power = Math.min(Math.floor(Math.log10(value) / 3), 6);
    const size = (value / 1000 ** power).toLocaleString("en", {minimumFractionDigits: 1, maximumFractionDigits: 1});
    return `${size} ${" kMGTPE"[power]}${unit}`.replace("bytes", "B");
  }
  const whole = value >= 1000 || Number.isInteger(value);
  const digits = whole ? Math.round(value).toLocaleString("en") : value >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(3)));
  return `${digits} ${unit}`.trim();
}

function draw(given) {
  const [now, best, worst] = ["median", "best", "worst"].map((end) => answer(given, costsAt(end)));
  const range = (low, high) => (low === high ? "" : `${shown(Math.min(low, high))} to ${shown(Math.max(low, high))}`);
  fill("machines", ["machines", "", "runs", "cores", "bound by", "each alone"], now.machines.map((one, at) => [
    one.kind, shown(one.count), range(best.machines[at].count, worst.machines[at].count), shown(one.cores), one.by,
    Object.entries(one.of).map(([by, value]) => `${by} ${shown(value)}`).join(", "),
  ]));
  fill("steps", ["", "formula", "comes to", "runs"], PLAN.told.map((step) => [
    step.what, step.formula, shown(now.values[step.name], step.unit), range(best.values[step.name], worst.values[step.name]),
  ]));
  fill("measured", ["", "median", "runs", "", "by", "at", "on"], PLAN.measured.map((one) => [
    one.what, `${shown(one.median)} ${one.unit}`, range(one.least, one.most), String(one.runs), one.how, one.at, one.processor,
  ]));
}

function fill(id, head, rows) {
  const table = document.getElementById(id);
  const line = (cells, tag) => {
    const row = document.createElement("tr");
    for (const cell of cells) {
      const made = row.appendChild(document.createElement(tag));
      made.textContent = cell;
      if (/^[\d,.]+( |$)/.test(cell)) made.className = "number";
    }
    return row;
  };
  table.replaceChildren(line(head, "th"), ...rows.map((row) => line(row, "td")));
}

// A slider over many powers of ten goes by them.
function sliderOf(one) {
  const byPowers = one.least > 0 && one.most / one.least > 1000;
  const to = byPowers ? Math.log10 : Number;
  const from = byPowers ? (at) => 10 ** at : Number;
  const round = (value) => (one.whole ? Math.round(value) : Number(value.toPrecision(3)));
  const bounded = (value) => Math.min(one.most, Math.max(one.least, value));
  const label = document.createElement("label");
  const range = Object.assign(document.createElement("input"), {
    type: "range", min: to(one.least), max: to(one.most), step: "any", value: to(one.value), ariaLabel: one.what,
  });
  const exact = Object.assign(document.createElement("input"), {
    type: "number", name: one.name, min: one.least, max: one.most, step: "any", value: one.value,
  });
  label.append(`${one.what} ${one.unit ? `(${one.unit})` : ""}`, exact, range);
  range.addEventListener("input", () => { exact.value = bounded(round(from(Number(range.value)))); });
  exact.addEventListener("input", () => { range.value = to(bounded(Number(exact.value))); });
  return label;
}

if (typeof document !== "undefined") {
  const form = document.getElementById("given");
  form.append(...PLAN.given.map(sliderOf));
  const given = () => Object.fromEntries(PLAN.given.map((one) => {
    const value = Number(form.elements[one.name].value);
    const whole = one.whole ? Math.round(value) : value;
    return [one.name, Number.isFinite(whole) && whole >= one.least && whole <= one.most ? whole : one.value];
  }));
  form.addEventListener("input", () => draw(given()));
  draw(given());
}

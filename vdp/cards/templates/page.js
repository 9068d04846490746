"use strict";

// Light, dark, or as the system has it: kept in this browser where it keeps anything.
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefers.matches ? "dark" : "light")) === "dark";
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  try { root.dataset.theme = localStorage.getItem("vdp-theme") || ""; } catch { /* no storage */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("vdp-theme", root.dataset.theme); } catch { /* no storage */ }
    say();
  });
  prefers.addEventListener("change", say);
  button.hidden = false;
  say();
})();

// Plots: what lies at the step under the pointer, or under the arrow keys.
for (const chart of document.querySelectorAll(".chart")) {
  const plot = chart.querySelector(".plot"), output = chart.querySelector("output");
  const lines = JSON.parse(chart.querySelector("script").textContent);
  const every = [...new Set(lines.flatMap(line => line.points.map(point => point[2])))];
  every.sort((a, b) => a - b);
  const cursor = plot.appendChild(document.createElement("span"));
  const marks = lines.map(line => plot.appendChild(document.createElement("span")));
  cursor.className = "cursor";
  marks.forEach((mark, index) => { mark.className = `mark ${lines[index].name}`; });
  let at = null;
  const nearest = (points, x) =>
    points.reduce((best, point) => Math.abs(point[2] - x) < Math.abs(best[2] - x) ? point : best);
  const show = x => {
    at = x;
    for (const mark of [cursor, ...marks]) mark.hidden = x === null;
    if (x === null) return;
    cursor.style.left = `${100 * x}%`;
    output.textContent = lines.map((line, index) => {
      const [step, value, px, py] = nearest(line.points, x);
      marks[index].style.left = `${100 * px}%`;
      marks[index].style.top = `${100 * (1 - py)}%`;
      return `${line.name} ${Number(value.toPrecision(5))} at step ${step.toLocaleString("en")}`;
    }).join(", ");
  };
  const under = event => {
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    show(every.reduce((best, other) => Math.abs(other - x) < Math.abs(best - x) ? other : best));
  };
  plot.addEventListener("pointermove", under);
  plot.addEventListener("pointerdown", under);
  plot.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const place = at === null ? every.length - 1 : every.indexOf(at) + by;
    show(every[Math.min(Math.max(place, 0), every.length - 1)]);
  });
  show(null);
}

// Pictures that are larger than they are shown: a click shows them pixel for pixel, and back.
for (const picture of document.querySelectorAll("figure .scroll img")) {
  const look = () =>
    picture.classList.toggle("enlarges", picture.naturalWidth > picture.parentElement.clientWidth);
  addEventListener("resize", look);
  addEventListener("load", look);
  picture.addEventListener("click", () => {
    if (picture.classList.contains("enlarges")) picture.classList.toggle("enlarged");
  });
}

// The table of runs: sorted by the column that is clicked, those without a value last; filtered.
const runs = document.getElementById("runs");
if (runs) {
  const body = runs.tBodies[0], heads = [...runs.tHead.rows[0].cells];
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.ariaSort === "ascending";
    for (const other of heads) if (other.ariaSort) other.ariaSort = "none";
    head.ariaSort = down ? "descending" : "ascending";
    const value = row => row.cells[column].dataset.value;
    const known = [...body.rows].filter(row => value(row) !== "");
    const others = [...body.rows].filter(row => value(row) === "");
    known.sort((a, b) => compare(value(a), value(b)) * (down ? -1 : 1));
    body.append(...known, ...others);
  }));
  const input = document.getElementById("filter"), shown = document.getElementById("shown");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      count += !row.hidden;
    }
    shown.textContent = input.value.trim() ? `${count} of ${body.rows.length}` : "";
  });
  input.parentElement.hidden = false;
}

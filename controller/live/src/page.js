"use strict";
// Follows a campaign. Data enters the page as text, never as markup.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
// 10 minutes, or less for a young campaign, so that it fills the chart.
const spanned = (now) => Math.min(600, Math.max(60, now));
let isOver = false;

function time(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (parts[0] > 0) return `${parts[0]} h ${parts[1]} min`;
  return parts[1] > 0 ? `${parts[1]} min ${parts[2]} s` : `${parts[2]} s`;
}

function figure(value) {
  if (value === null) return "–";
  return value.toLocaleString("en", { maximumSignificantDigits: value >= 1000 ? 4 : 3 });
}

// `94%, 61 °C`: the known values with their units.
function withUnits(...pairs) {
  const known = [];
  for (let place = 0; place < pairs.length; place += 2) {
    if (typeof pairs[place] === "number") known.push(`${Math.round(pairs[place]).toLocaleString("en")} ${pairs[place + 1]}`);
  }
  return known.join(", ") || "–";
}

function usd(value) {
  return `$${value.toFixed(value < 1 ? 4 : 2)}`;
}

// Sets only changed text, so that a selection survives the update each second.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function rows(body, items, shape, fill) {
  while (body.children.length > items.length) body.lastElementChild.remove();
  while (body.children.length < items.length) body.append(shape());
  items.forEach((item, index) => fill(body.children[index], item));
}

function row(kinds) {
  return () => {
    const line = document.createElement("tr");
    for (const kind of kinds) {
      const cell = document.createElement("td");
      if (kind === "bar") {
        const bar = cell.appendChild(document.createElement("div"));
        bar.className = "bar";
        bar.append(document.createElement("i"));
      } else if (kind) {
        cell.className = kind;
      }
      line.append(cell);
    }
    return line;
  };
}

function drawn(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// The step of an axis: 1, 2 or 5 times a power of ten, for about four steps.
function step(high) {
  const rough = high / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

function chart(svg, targets, now, value) {
  const [left, right, top, bottom] = [48, 452, 8, 176];
  const values = targets.flatMap((target) => target.points.map(value)).filter((found) => found !== null);
  const nodes = [];
  const most = Math.max(...values, 0);
  if (most === 0) {
    nodes.push(drawn("text", { x: 230, y: 96, "text-anchor": "middle" }, "nothing measured yet"));
    svg.replaceChildren(...nodes);
    return;
  }
  const ticks = step(most);
  const high = Math.ceil(most / ticks) * ticks;
  const y = (found) => bottom - ((bottom - top) * found) / high;
  const span = spanned(now);
  const x = (at) => right - ((right - left) * (now - at)) / span;
  for (let tick = 0; tick <= high + ticks / 2; tick += ticks) {
    nodes.push(drawn("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    nodes.push(drawn("text", { x: left - 6, y: y(tick) + 3.5, "text-anchor": "end" }, figure(tick)));
  }
  const apart = span <= 150 ? 30 : span <= 300 ? 60 : 120;
  for (let ago = 0; ago <= span; ago += apart) {
    const label = ago === 0 ? "now" : apart < 60 ? `−${ago} s` : `−${ago / 60} min`;
    nodes.push(drawn("text", { x: x(now - ago), y: 194, "text-anchor": ago === 0 ? "end" : "middle" }, label));
  }
  targets.forEach((target, index) => {
    // A gap where nothing was measured: no line is drawn over it.
    let path = "";
    let isDown = false;
    for (const point of target.points) {
      const found = value(point);
      if (found === null || point.at_s < now - span) {
        isDown = false;
        continue;
      }
      path += `${isDown ? "L" : "M"}${x(point.at_s).toFixed(1)} ${y(found).toFixed(1)}`;
      isDown = true;
    }
    const curve = drawn("path", { class: "curve", d: path });
    curve.style.stroke = `var(--s${index % 8})`;
    nodes.push(curve);
  });
  svg.replaceChildren(...nodes);
}

function legend(targets) {
  const list = byId("legend");
  if (list.children.length === targets.length) return;
  list.replaceChildren(
    ...targets.map((target, index) => {
      const item = document.createElement("li");
      const mark = drawn("svg", { viewBox: "0 0 14 10", "aria-hidden": "true" });
      const line = drawn("line", { x1: 0, x2: 14, y1: 5, y2: 5, "stroke-width": 3 });
      line.style.stroke = `var(--s${index % 8})`;
      mark.append(line);
      item.append(mark, target.name);
      return item;
    }),
  );
}

function show(board) {
  if (!board.campaign) return;
  isOver = board.is_over;
  const share = board.total > 0 ? (100 * board.done) / board.total : 0;
  document.title = `${share.toFixed(0)} % · ${board.campaign}`;
  put(byId("campaign"), board.campaign);
  const status = byId("status");
  put(status, isOver ? "ended; see the reports" : board.waiting || "measuring");
  status.className = isOver ? "status good" : "status";
  const bar = byId("bar");
  bar.setAttribute("aria-valuenow", share.toFixed(0));
  bar.firstElementChild.style.width = `${share}%`;
  put(byId("done"), `${board.done.toLocaleString("en")} of ${board.total.toLocaleString("en")}`);
  put(byId("left"), isOver ? "0 s" : board.left_s === null ? "–" : time(board.left_s));
  put(byId("now"), time(board.now_s));
  put(byId("spent"), board.max_usd === null ? usd(board.spent_usd) : `${usd(board.spent_usd)} of ${usd(board.max_usd)}`);
  const here = board.agents.filter((agent) => agent.is_here).length;
  put(byId("here"), `${here} of ${board.agents.length}`);
  legend(board.targets);
  chart(byId("rates"), board.targets, board.now_s, (point) => point.samples_per_s);
  chart(byId("latencies"), board.targets, board.now_s, (point) => point.latency_p50_ms);
  rows(byId("cells"), board.cells, row(["", "number", "bar", "number"]), (line, cell) => {
    line.className = cell.is_under_way ? "under-way" : "";
    put(line.children[0], cell.id);
    put(line.children[1], `${cell.done.toLocaleString("en")} of ${cell.total.toLocaleString("en")}`);
    line.children[2].firstElementChild.firstElementChild.style.width = `${(100 * cell.done) / Math.max(cell.total, 1)}%`;
    put(line.children[3], figure(cell.samples_per_s));
  });
  const hasGpu = board.agents.some((agent) => agent.vitals && agent.vitals.gpu_pct !== null);
  document.querySelector("th.gpu").hidden = !hasGpu;
  const kinds = ["", "", "", "", "number", "number", "number", "number", "number"];
  rows(byId("agents"), board.agents, row(kinds), (line, agent) => {
    line.className = agent.is_here ? "" : "gone";
    put(line.children[0], agent.id);
    put(line.children[1], board.targets[agent.target].name);
    put(line.children[2], agent.host);
    put(line.children[3], agent.is_here ? agent.cell || "nothing" : "gone");
    put(line.children[4], agent.samples.toLocaleString("en"));
    put(line.children[5], agent.samples > 0 ? `${time(board.now_s - agent.heard_s)} ago` : "–");
    const vitals = agent.is_here ? (agent.vitals ?? {}) : {};
    put(line.children[6], withUnits(vitals.cpu_pct, "%", vitals.cpu_mhz, "MHz", vitals.celsius, "°C") + (vitals.is_throttled ? ", throttled" : ""));
    line.children[6].classList.toggle("warn", Boolean(vitals.is_throttled));
    put(line.children[7], withUnits(vitals.rss_mb, "MiB"));
    put(line.children[8], withUnits(vitals.gpu_pct, "%", vitals.gpu_mhz, "MHz", vitals.gpu_celsius, "°C", vitals.gpu_memory_mb, "MiB"));
    line.children[8].hidden = !hasGpu;
  });
  rows(byId("lines"), [...board.lines].reverse(), () => {
    const item = document.createElement("li");
    item.append(document.createElement("time"), document.createElement("span"));
    return item;
  }, (item, line) => {
    put(item.children[0], time(line.at_s));
    put(item.children[1], line.text);
  });
}

const source = new EventSource("/events");
source.onmessage = (message) => {
  show(JSON.parse(message.data));
  if (isOver) source.close();
};
source.onerror = () => {
  if (isOver) return;
  const status = byId("status");
  status.className = "status warn";
  put(status, "the controller is not responding; showing its last data");
};

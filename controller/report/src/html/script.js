"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const element = (name, properties) => Object.assign(document.createElement(name), properties);

  // Headings sort their table; a third press brings back its own order.
  for (const table of all("table")) {
    const body = table.tBodies[0];
    const own = [...body.rows];
    if (own.length < 2) continue;
    const headings = all("thead th", table);
    headings.forEach((heading, place) => {
      const button = element("button", { type: "button" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const before = heading.getAttribute("aria-sort");
        const order = before === "ascending" ? "descending" : before === "descending" ? null : "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) heading.setAttribute("aria-sort", order);
        const key = (row) => {
          const cell = row.cells[place];
          return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
        };
        const isMissing = (row) => row.cells[place].textContent.trim() === "–";
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const sign = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
          return isMissing(a) - isMissing(b) || (order === "descending" ? -sign : sign);
        };
        body.append(...(order ? [...own].sort(compare) : own));
      });
    });
  }

  // A legend hides and shows its series.
  for (const item of all(".legend li")) {
    const button = element("button", { type: "button" });
    button.setAttribute("aria-pressed", "true");
    button.append(...item.childNodes);
    item.append(button);
    button.addEventListener("click", () => {
      const isShown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isShown));
      const marks = `svg.wide [data-series="${item.dataset.series}"], svg.narrow [data-series="${item.dataset.series}"]`;
      for (const mark of all(marks, item.closest("figure"))) mark.classList.toggle("hidden", !isShown);
    });
  }

  // What a mark says is shown beside the pointer, for the nearest one.
  const tip = element("div", { className: "tip", hidden: true });
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  for (const chart of all("svg.wide, svg.narrow")) {
    const marks = all("title", chart).map((title) => {
      const mark = title.parentNode;
      const text = title.textContent;
      title.remove();
      return { mark, text };
    });
    let near = null;
    const leave = () => {
      near?.mark.classList.remove("near");
      near = null;
      tip.hidden = true;
    };
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("pointermove", (event) => {
      let best = null;
      let least = 26;
      for (const one of marks) {
        if (one.mark.classList.contains("hidden")) continue;
        const box = one.mark.getBoundingClientRect();
        const x = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
        const y = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
        const distance = Math.hypot(x, y);
        if (distance < least) [best, least] = [one, distance];
      }
      if (best !== near) leave();
      if (!best) return;
      near = best;
      near.mark.classList.add("near");
      tip.textContent = near.text;
      tip.hidden = false;
      const width = document.documentElement.clientWidth;
      tip.style.left = `${Math.max(8, Math.min(event.pageX + 14, width - tip.offsetWidth - 8))}px`;
      tip.style.top = `${event.pageY + 18}px`;
    });
  }

  // The section that is read is marked in the contents.
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const mark = (id) => links.forEach((link, of) => link.classList.toggle("here", of === id));
  const watch = new IntersectionObserver(
    (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => mark(one.target.id)),
    { rootMargin: "0px 0px -75% 0px" },
  );
  all("main > header, main > section").forEach((section) => watch.observe(section));

  // Light, dark, or as the system has it.
  const themes = ["system", "light", "dark"];
  const button = element("button", { type: "button", className: "theme", textContent: "Theme: system" });
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
  });
  document.querySelector(".contents")?.append(button);
})();

"use strict";
// Sorting, filtering and full-size figures. Texts of the page are only ever moved as text; nothing is made into HTML.
(() => {
  const made = (name, properties, ...inside) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...inside);
    return element;
  };

  const natural = new Intl.Collator("en", { numeric: true });

  // The number that a text begins with; NaN for a word or a dash.
  const number = (text) => {
    const found = /^[-−]?\d+(\.\d+)?/.exec(text);
    return found ? Number(found[0].replace("−", "-")) : NaN;
  };

  // A new order of rows by what a column shows; what has no value stands last, and equals as they stood at first.
  const sorted = (rows, column, numeric, falling) => {
    const keyed = rows.map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, key: numeric ? number(text) : text };
    });
    const sign = falling ? -1 : 1;
    keyed.sort((one, other) => {
      if (!numeric) return sign * natural.compare(one.key, other.key);
      if (Number.isNaN(one.key) || Number.isNaN(other.key)) return Number.isNaN(one.key) - Number.isNaN(other.key);
      return sign * (one.key - other.key);
    });
    return keyed.map((entry) => entry.row);
  };

  // A click sorts, another one turns the order round, a third gives the first order again.
  const makeSortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const bodies = [...table.tBodies].filter((body) => !body.classList.contains("fixed"));
    const original = bodies.map((body) => [...body.rows]);
    heads.forEach((head, column) => {
      const numeric = head.classList.contains("n");
      const cycle = numeric ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      const button = made("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = cycle[(cycle.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
        bodies.forEach((body, index) => {
          const rows = original[index];
          body.append(...(order === "none" ? rows : sorted(rows, column, numeric, order === "descending")));
        });
      });
    });
  };

  // Boxes to tick for the attacks, the defenses and the metrics of a section; what is not ticked is hidden by a style.
  const makeFilters = (section) => {
    const sheet = document.head.appendChild(made("style", {}));
    const scope = `section[data-id="${section.dataset.id}"]`;
    const status = made("p", { className: "soft" });
    status.setAttribute("role", "status");
    const kinds = [
      ["Attacks", "a", section.querySelectorAll(".view thead th[data-a]")],
      ["Defenses", "d", section.querySelectorAll(".view tbody tr[data-d]")],
      ["Metrics", "m", section.querySelectorAll(".switched > label[data-m]")],
    ].map(([title, key, shown]) => {
      const names = new Map();
      for (const element of shown) {
        const place = element.dataset[key];
        const text = (element.cells ? element.cells[0] : element).textContent.trim();
        if (!names.has(place)) names.set(place, { text, box: made("input", { type: "checkbox", checked: true }) });
      }
      return { title, key, names };
    });

    const apply = () => {
      const hidden = kinds.map(({ key, names }) =>
        [...names].filter(([, { box }]) => !box.checked).map(([place]) => `${scope} [data-${key}="${place}"]`));
      sheet.textContent = hidden.flat().map((selector) => `${selector} { display: none; }`).join("\n");
      const counts = kinds.map(({ title, names }, index) =>
        `${names.size - hidden[index].length} of ${names.size} ${title.toLowerCase()}`);
      status.textContent = hidden.flat().length
        ? `Shown: ${counts.join(", ")}. Averages and marks are of all of them; figures are not filtered.` : "";
      const picks = [...section.querySelectorAll("input.pick")];
      const ticked = picks.filter((pick) => kinds[2].names.get(pick.dataset.m).box.checked);
      if (ticked.length && !ticked.some((pick) => pick.checked)) ticked[0].checked = true;
    };

    const sets = kinds.filter(({ names }) => names.size > 1).map(({ title, names }) => {
      const boxes = [...names.values()];
      const choose = (text, checked) => {
        const button = made("button", { type: "button" }, text);
        button.setAttribute("aria-label", `${text} ${title.toLowerCase()}`);
        button.addEventListener("click", () => {
          boxes.forEach(({ box }) => { box.checked = checked; });
          apply();
        });
        return button;
      };
      boxes.forEach(({ box }) => box.addEventListener("change", apply));
      return made("fieldset", {}, made("legend", {}, title), choose("all", true), choose("none", false),
        ...boxes.map(({ text, box }) => made("label", {}, box, " ", text)));
    });
    const panel = made("details", { className: "filters" }, made("summary", {}, "Filter attacks, defenses, metrics"), ...sets);
    section.querySelector(".switched").before(panel, status);
  };

  // A button under each figure that is shown smaller than it is.
  const makeFull = (figure) => {
    const button = made("button", { type: "button" }, "full size");
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(figure.classList.toggle("full")));
    });
    figure.querySelector("figcaption").append(" ", button);
  };

  document.querySelectorAll("section.block").forEach(makeFilters);
  document.querySelectorAll("table").forEach(makeSortable);
  document.querySelectorAll("figure").forEach(makeFull);
})();

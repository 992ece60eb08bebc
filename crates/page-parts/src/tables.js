// Tables that sort by a column, and show only the rows with some words. Without it the page says the same.
"use strict";
(() => {
  const ROWS_TO_FILTER = 8, ROWS_TO_SORT = 3;

  // The figure that a cell begins with: "12 of 84" and "12/84" are shares, a dash is nothing.
  const figure = (cell) => {
    const text = cell.textContent.replace(/[\u202f,]/g, "").replace(/\u2212/g, "-");
    const found = /(-?\d+(?:\.\d+)?(?:e-?\d+)?)(?:(?:\s+of\s+|\/)(\d+))?/.exec(text);
    return found ? Number(found[1]) / (found[2] ? Number(found[2]) : 1) : null;
  };

  const compare = (column, down) => (one, other) => {
    const [first, second] = [one, other].map((row) => row.cells[column]);
    if (column === 0) {
      const order = first.textContent.localeCompare(second.textContent, "en", { numeric: true });
      return down ? -order : order;
    }
    const [left, right] = [figure(first), figure(second)];
    if (left === null || right === null) return (left === null) - (right === null);
    return down ? right - left : left - right;
  };

  const sortable = (table) => {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      const name = head.firstChild ? head.firstChild.textContent.trim() : "";
      button.type = "button";
      button.className = "sort";
      button.setAttribute("aria-label", `Sort by ${name}`);
      button.addEventListener("click", () => {
        // Figures from the largest, names from A; then the other way round; then as the page has them.
        const ways = column === 0 ? ["ascending", "descending", null] : ["descending", "ascending", null];
        const way = ways[(ways.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (way) head.setAttribute("aria-sort", way);
        body.append(...(way ? [...rows].sort(compare(column, way === "descending")) : rows));
      });
      head.append(" ", button);
    });
  };

  const filterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const place = document.createElement("p"), label = document.createElement("label");
    const input = document.createElement("input"), told = document.createElement("output");
    place.className = "filter";
    input.type = "search";
    label.append("Show rows with ", input);
    place.append(label, " ", told);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = rows.filter((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        return !row.hidden;
      });
      told.textContent = words.length ? `${shown.length} of ${rows.length}` : "";
    });
    (table.closest(".scroll") || table).before(place);
  };

  for (const table of document.querySelectorAll("table")) {
    if (!table.tHead || table.tBodies.length !== 1) continue;
    const rows = table.tBodies[0].rows.length;
    if (rows >= ROWS_TO_SORT) sortable(table);
    if (rows >= ROWS_TO_FILTER) filterable(table);
  }
})();

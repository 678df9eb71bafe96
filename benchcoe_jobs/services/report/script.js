"use strict";
// Without this script the page shows the same: it only sorts, filters and copies tables.
const value = (cell) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const isNumber = cell.classList.contains("n") || "value" in cell.dataset;
  return isNumber ? Number.parseFloat(text.replaceAll(",", "")) : text;
};
const order = (a, b) =>
  typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : (Number.isNaN(a) ? -Infinity : a) - (Number.isNaN(b) ? -Infinity : b) || 0;

for (const table of document.querySelectorAll("table[data-tools]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

  heads.forEach((head, column) => {
    const button = make("button", "");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...body.rows].sort((a, b) => order(value(a.cells[column]), value(b.cells[column])));
      body.append(...(down ? sorted.reverse() : sorted));
    });
  });

  const tools = make("div", "");
  tools.className = "tools";
  const label = make("label", "Filter rows ");
  const input = document.createElement("input");
  input.type = "search";
  label.append(input);
  input.addEventListener("input", () => {
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(input.value.toLowerCase());
  });
  const copy = make("button", "Copy as CSV");
  copy.type = "button";
  const status = make("span", "");
  status.setAttribute("role", "status");
  copy.addEventListener("click", async () => {
    // A spreadsheet takes a cell that begins with one of these for a formula.
    const cell = (text) => `"${(/^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text).replaceAll('"', '""')}"`;
    const rows = [...table.rows].filter((row) => !row.hidden);
    const csv = rows.map((row) => [...row.cells].map((c) => cell(c.dataset.value ?? c.innerText.trim().replace(/\s+/g, " "))).join(",")).join("\r\n");
    try {
      await navigator.clipboard.writeText(csv);
      status.textContent = "copied";
    } catch {
      status.textContent = "the browser does not allow copying here";
    }
  });
  tools.append(label, copy, status);
  table.parentElement.before(tools);
}

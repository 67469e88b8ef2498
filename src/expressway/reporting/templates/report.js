"use strict";
(() => {
  const say = (words) => { document.getElementById("announce").textContent = words; };

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
  };

  const compare = (first, second) => {
    if (first === "" || second === "") return (first === "") - (second === "");
    const difference = Number(first) - Number(second);
    return Number.isNaN(difference) ? first.localeCompare(second) : difference;
  };

  const sort = (table, column) => {
    const heading = table.tHead.rows[0].cells[column];
    const numeric = table.tBodies[0].rows[0]?.cells[column].classList.contains("number");
    const before = heading.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return x === "" || y === "" ? compare(x, y) : sign * compare(x, y);
    });
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows);
    say(`Sorted by ${heading.textContent.trim()}, ${order}`);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead button").forEach((button, column) => {
      button.addEventListener("click", () => sort(table, column));
    });
  }

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };

  for (const button of document.querySelectorAll("button[data-copy]")) {
    const words = button.textContent;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.innerText);
        button.textContent = "Copied";
      } catch {
        select(source);
        button.textContent = "Selected: press Ctrl+C or ⌘C";
      }
      say(button.textContent);
      setTimeout(() => { button.textContent = words; }, 4000);
    });
  }
})();

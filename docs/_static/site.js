/* Tables on narrow screens: site.css has their looks. Without this file they scroll. */
const narrow = window.matchMedia("(max-width: 50em)");
const tables = [...document.querySelectorAll("article table.docutils")];

/* What stands below its column's head says so itself, once the heads are gone. */
for (const table of tables) {
  const heads = [...table.querySelectorAll("thead th")].map((th) => th.innerText.trim());
  if (heads.length < 3) continue; /* of two columns the second needs no name */
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, at) => {
      if (at > 0 && heads[at] && cell.innerText.trim()) cell.dataset.column = heads[at];
    });
  }
}

function fit() {
  for (const table of tables) {
    table.classList.remove("stacked");
    const wide = table.scrollWidth > table.parentElement.clientWidth + 1;
    table.classList.toggle("stacked", narrow.matches && wide);
  }
}

fit();
narrow.addEventListener("change", fit);
window.addEventListener("load", fit); /* when the fonts are there */

/* Long names break at their seams: paths at slashes, modules at dots, others within. */
for (const part of document.querySelectorAll("article code.literal .pre")) {
  const name = part.textContent;
  if (name.length > 24) {
    const path = name.includes("/") ? /\/(?=\w)/g : null;
    const module = name.includes(".") ? /\.(?=\w)/g : null;
    const seam = path ?? module ?? /[_:]+(?=\w)/g;
    part.innerHTML = part.innerHTML.replace(seam, "$&<wbr>");
  }
}

/* So do the paths of modules in the reference. */
for (const part of document.querySelectorAll("dt.sig > .sig-prename .pre")) {
  part.innerHTML = part.innerHTML.replace(/\.(?=\w)/g, ".<wbr>");
}

/* Tables on narrow screens: site.css has their looks. Without this file they scroll. */
const narrow = window.matchMedia("(max-width: 50em)");
const tables = [...document.querySelectorAll("article table.docutils")];

/* What stands below its column's head says so itself, once the heads are gone. */
for (const table of tables) {
  const heads = [...table.querySelectorAll("thead th")].map((th) => th.innerText.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, at) => {
      if (!cell.innerText.trim()) cell.classList.add("blank");
      /* Of two columns the second needs no name. */
      else if (at > 0 && heads.length > 2 && heads[at]) cell.dataset.column = heads[at];
    });
  }
}

const TALL = 190; /* pixels of a row in which a column has one or two words a line */

function fit() {
  for (const table of tables) {
    table.classList.remove("stacked");
    const wide = table.scrollWidth > table.parentElement.clientWidth + 1;
    const squeezed = [...table.rows].some((row) => row.offsetHeight > TALL);
    table.classList.toggle("stacked", narrow.matches && (wide || squeezed));
  }
}

fit();
narrow.addEventListener("change", fit);
window.addEventListener("load", fit); /* when the fonts are there */

const plain = (text) => text.normalize("NFKC").toLowerCase();

for (const field of document.querySelectorAll("input[data-filter]")) {
  field.closest(".filter").hidden = false;
  field.addEventListener("input", () => {
    const wanted = plain(field.value).split(/\s+/).filter(Boolean);
    const target = document.getElementById(field.dataset.filter);
    for (const item of target.tBodies ? target.tBodies[0].rows : target.children) {
      const text = plain(target.tBodies ? item.querySelector("th").textContent : item.textContent);
      item.hidden = !wanted.every((word) => text.includes(word));
    }
  });
}

const search = document.querySelector("form[role=search]");
if (search && window.PARITY_PAGES) {
  search.hidden = false;
  const list = search.querySelector("ul");
  const pages = window.PARITY_PAGES.map((page) => [...page, plain(page.join(" "))]);
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelector("a")?.click();
  });
  search.q.addEventListener("input", () => {
    const wanted = plain(search.q.value).split(/\s+/).filter(Boolean);
    const found = wanted.length
      ? pages.filter((page) => wanted.every((word) => page[4].includes(word))).slice(0, 12)
      : [];
    list.replaceChildren(
      ...found.map(([kind, name, address]) => {
        const link = document.createElement("a");
        link.href = document.body.dataset.root + address;
        link.textContent = name;
        const what = document.createElement("small");
        what.textContent = " " + kind;
        const item = document.createElement("li");
        item.append(link, what);
        return item;
      }),
    );
  });
}

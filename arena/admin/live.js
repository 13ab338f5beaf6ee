// Keeps the standings up to date, except while somebody uses a link or field in them.
const EVERY_MS = 15000;

async function refresh() {
  const main = document.querySelector("main");
  if (!main.contains(document.activeElement)) {
    const answer = await fetch(location.href).catch(() => null);
    if (answer?.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      main.replaceChildren(...page.querySelector("main").childNodes);
    }
  }
  setTimeout(refresh, EVERY_MS);
}

setTimeout(refresh, EVERY_MS);

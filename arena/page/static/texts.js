// The table of texts. Elements name their text by data-text and are filled again when the language
// changes; whatever else needs a text asks for it by key.

const KEPT = "parity-language";
let tables = {};
let language = "en";

/** Load the table and choose: the visitor's choice, else the browser's languages, else English. */
export async function loadTexts() {
  const response = await fetch(new URL("texts.json", import.meta.url));
  tables = await response.json();
  const wanted = [localStorage.getItem(KEPT), ...navigator.languages.map((tag) => tag.split("-")[0])];
  setLanguage(wanted.find((tag) => tag in tables) ?? "en");
}

export function languages() {
  return Object.keys(tables).map((tag) => ({ tag, name: tables[tag].language_name }));
}

export function currentLanguage() {
  return language;
}

export function chooseLanguage(tag) {
  localStorage.setItem(KEPT, tag);
  setLanguage(tag);
}

function setLanguage(tag) {
  language = tag;
  document.documentElement.lang = tag;
  translate(document);
}

/** Return a text with its {names} filled in; null for a key that the table does not have. */
export function lookUp(key, values = {}) {
  const text = tables[language]?.[key];
  return text?.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "") ?? null;
}

export function t(key, values = {}) {
  return lookUp(key, values) ?? key;
}

/** Fill every element under a root that names its text. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    setText(element, element.dataset.text, element.dataset.values && JSON.parse(element.dataset.values));
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
  }
}

/** Give an element a text, now and in every language that is chosen later. */
export function setText(element, key, values = undefined) {
  element.dataset.text = key;
  if (values) element.dataset.values = JSON.stringify(values);
  else delete element.dataset.values;
  const text = t(key, values);
  if (element.textContent !== text) element.textContent = text;
}

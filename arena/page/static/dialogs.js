// Dialogs: the browser's own, so that focus, Escape and what lies beneath are taken care of.

import { post } from "./api.js";
import { chooseLanguage, currentLanguage, languages, setText } from "./texts.js";

const THEME = "parity-theme";
const byId = (id) => document.getElementById(id);

export function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

export function openDialog(id) {
  byId(id).showModal();
}

/** Open a dialog that must be answered, and wait until `finish` is called by `listen`. */
function demand(id, listen) {
  return new Promise((resolve) => {
    const dialog = byId(id);
    listen(() => {
      dialog.close();
      resolve();
    });
    dialog.showModal();
  });
}

export function askConsent(consent) {
  byId("consent-text").innerHTML = consent.html; // rendered and cleaned by the service
  return demand("consent-dialog", (finish) => {
    byId("agree").onclick = async () => {
      try {
        await post("consent", { version: consent.version });
        finish();
      } catch {
        location.reload(); // the text has changed meanwhile
      }
    };
  });
}

export function askLogin() {
  return demand("login-dialog", (finish) => {
    byId("login-form").onsubmit = async (event) => {
      event.preventDefault();
      const { name, password } = Object.fromEntries(new FormData(event.target));
      try {
        await post("login", { name, password });
        event.target.reset();
        finish();
      } catch (refusal) {
        setText(byId("login-error"), refusal.code);
      }
    };
  });
}

/** Show a study's instructions; resolves when they are closed. */
export function showInstructions(html) {
  byId("instructions-text").innerHTML = html; // rendered and cleaned by the service
  byId("show-instructions").hidden = false;
  const dialog = byId("instructions-dialog");
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

/** Wire everything that does not depend on a battle. */
export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    const isFirm = "firm" in dialog.dataset;
    dialog.addEventListener("cancel", (event) => isFirm && event.preventDefault());
    dialog.addEventListener("click", (event) => {
      const isBackdrop = event.target === dialog && !isFirm;
      if (isBackdrop || event.target.closest("[data-close]")) dialog.close();
    });
  }
  byId("menu-button").onclick = () => openDialog("menu");
  byId("show-instructions").onclick = () => openDialog("instructions-dialog");
  prepareLanguage(byId("language"));
  prepareTheme(byId("theme"));
  prepareForgetting();
  byId("sign-out").onclick = async () => {
    await post("logout");
    location.reload();
  };
}

function prepareLanguage(select) {
  select.replaceChildren(...languages().map(({ tag, name }) => new Option(name, tag)));
  select.value = currentLanguage();
  select.onchange = () => chooseLanguage(select.value);
}

function prepareTheme(select) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const isDark = select.value === "dark" || (select.value === "auto" && dark.matches);
    document.body.classList.toggle("dark", isDark);
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
  };
  select.value = localStorage.getItem(THEME) ?? "auto";
  select.onchange = () => {
    localStorage.setItem(THEME, select.value);
    apply();
  };
  dark.addEventListener("change", apply);
  apply();
}

function prepareForgetting() {
  for (const button of document.querySelectorAll("[data-forget]")) {
    button.onclick = async () => {
      try {
        await post("forget", { votes: button.dataset.forget });
        setText(button, "forgotten");
        setTimeout(() => location.reload(), 1200);
      } catch (refusal) {
        setText(button, refusal.code);
      }
    };
  }
}

// What a rater says of a battle besides pressing one of four buttons: ranks, scales, reasons.

import { lookUp, setText } from "./texts.js";

const VISIBLE_EVERY_MS = 250;

/** The questions under each answer, for studies that rank or rate. */
export class Scales {
  constructor(columns) {
    this.columns = columns;
    this.scales = {};
    this.allowsTie = true;
  }

  /** Draw a form's questions; `listener` hears of every answer to one. */
  draw(form, questions, listener) {
    this.clear();
    this.scales = { ...form.scales };
    this.allowsTie = form.allows_tie;
    if (form.kind === "ranking") this.scales = { rank: [1, this.columns.length], ...this.scales };
    if (Object.keys(this.scales).length === 0) return;
    for (const [position, column] of this.columns.entries()) {
      const box = document.createElement("div");
      box.className = "scales";
      for (const [name, bounds] of Object.entries(this.scales)) {
        box.append(scale(name, bounds, position, questions?.[name]));
      }
      box.addEventListener("change", listener);
      column.append(box);
    }
  }

  clear() {
    this.scales = {};
    for (const column of this.columns) column.querySelector(".scales")?.remove();
  }

  /** Return each question's values by position; null until all are answered as they may be. */
  values() {
    const values = {};
    for (const name of Object.keys(this.scales)) {
      values[name] = this.columns.map((column, position) => {
        const checked = column.querySelector(`input[name="${inputName(name, position)}"]:checked`);
        return checked ? Number(checked.value) : null;
      });
      if (values[name].includes(null)) return null;
    }
    const hasTie = values.rank && new Set(values.rank).size < values.rank.length;
    return hasTie && !this.allowsTie ? null : values;
  }

  lock(isLocked) {
    for (const column of this.columns) {
      for (const input of column.querySelectorAll(".scales input")) input.disabled = isLocked;
    }
  }
}

const inputName = (scaleName, position) => `scale-${scaleName}-${position}`;

function scale(name, [low, high], position, question) {
  const group = document.createElement("fieldset");
  const legend = document.createElement("legend");
  if (question?.text) legend.textContent = question.text;
  else if (name === "rank") setText(legend, name);
  else legend.textContent = name;
  const options = document.createElement("div");
  options.className = "options";
  if (question?.low_text) options.append(end(question.low_text));
  for (let value = low; value <= high; value += 1) {
    options.append(option(inputName(name, position), value, low === 0 && high === 1));
  }
  if (question?.high_text) options.append(end(question.high_text));
  group.append(legend, options);
  return group;
}

function option(name, value, isLabel) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name, value });
  const text = document.createElement("span");
  if (isLabel) setText(text, value ? "yes" : "no");
  else text.textContent = value;
  label.append(input, text);
  return label;
}

function end(text) {
  return Object.assign(document.createElement("span"), { className: "end", textContent: text });
}

/** Draw the reasons that a form offers; known ones are in the table of texts. */
export function drawReasons(root, reasons) {
  root.replaceChildren(
    ...reasons.map((reason) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "checkbox", value: reason });
      const text = document.createElement("span");
      if (lookUp(`reason_${reason}`)) setText(text, `reason_${reason}`);
      else text.textContent = reason;
      label.append(input, text);
      return label;
    }),
  );
}

export function tickedReasons(root) {
  return [...root.querySelectorAll("input:checked")].map((input) => input.value);
}

/** How long the answers were in sight: time in a hidden tab does not count. */
export class VisibleTime {
  #elapsed_ms = 0;
  #timer = null;

  start() {
    this.stop();
    this.#elapsed_ms = 0;
    let last_ms = performance.now();
    this.#timer = setInterval(() => {
      const now_ms = performance.now();
      if (document.visibilityState === "visible") this.#elapsed_ms += now_ms - last_ms;
      last_ms = now_ms;
    }, VISIBLE_EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    return Math.round(this.#elapsed_ms);
  }

  get elapsed_ms() {
    return Math.round(this.#elapsed_ms);
  }
}

// The answers. Gradio draws and streams them; the battle to draw is the one that the service holds
// open for this rater, so that nothing has to be sent but "show".

import { setText, translate } from "./texts.js";

const SILENCE_MS = 10000; // without a frame for so long, the stream is asked for again
const FIRST_SILENCE_MS = 4000; // Gradio may have drawn its button before it listens to it

const letter = (position) => String.fromCharCode(65 + position);

export class Stage {
  /** Wait until Gradio has drawn all its components; they come one by one, in any order. */
  static async open() {
    await until(() => {
      const [, n_answers] = document.querySelector("#answers")?.className.match(/\bof-(\d+)\b/) ?? [];
      const n_drawn = document.querySelectorAll(".answer [id^=answer-]").length;
      const rest = document.querySelectorAll("#show, #conversation").length;
      return n_drawn === Number(n_answers) && rest === 2;
    });
    return new Stage();
  }

  constructor() {
    this.conversation = document.querySelector("#conversation");
    this.row = document.querySelector("#answers");
    this.columns = [...document.querySelectorAll(".answer")];
    this.columns.forEach(addHead);
    this.conversation.setAttribute("role", "region");
    this.conversation.dataset.label = "prompt";
    translate(this.conversation.parentElement);
  }

  /**
   * Draw a battle; resolves to true once every answer is shown to its end, to false if none will
   * be. Where nobody draws any more, `resume` tells the service that somebody still waits.
   */
  async show(battle, resume) {
    this.reset();
    this.row.setAttribute("aria-busy", "true");
    const complete = `.complete-${battle.battle_id}-${battle.turns.length}`;
    const isOver = () => this.columns.every((column) => column.querySelector(complete));
    const stale = this.row.querySelector(".ended")?.className;
    const isLost = () => ![undefined, stale].includes(this.row.querySelector(".ended")?.className);
    if (!isOver()) await this.drawn(() => isOver() || isLost(), resume);
    this.row.setAttribute("aria-busy", "false");
    return isOver();
  }

  /** Let Gradio draw until a condition holds; a stream that falls silent is asked for again. */
  async drawn(isEnough, resume) {
    let silence;
    let isOver = false;
    // An answer to resume() may come when all is drawn: drawing again could only take it away.
    const show = () => isOver || document.querySelector("#show").click();
    const listen = (wait_ms = SILENCE_MS) => {
      clearInterval(silence);
      silence = setInterval(() => resume().then(show), wait_ms);
    };
    await new Promise((resolve) => {
      const observer = new MutationObserver(() => {
        listen();
        this.translateNotes();
        isOver = isEnough();
        if (isOver) resolve(observer.disconnect());
      });
      observer.observe(this.row, { childList: true, subtree: true, characterData: true, attributes: true });
      listen(FIRST_SILENCE_MS);
      show();
    });
    clearInterval(silence);
  }

  /** Notes within answers come in English; their class is their text's key. */
  translateNotes() {
    for (const note of this.row.querySelectorAll(".vessel .note:not([data-text])")) {
      setText(note, note.classList.item(1));
    }
  }

  /** Mark what was chosen: by position, "chosen" or "passed over". */
  mark(choice) {
    const verdicts = {
      left: ["chosen", "passed"],
      right: ["passed", "chosen"],
      tie: ["chosen", "chosen"],
      both_bad: ["passed", "passed"],
    }[choice];
    this.columns.forEach((column, position) => {
      column.dataset.verdict = verdicts?.[position] ?? "";
    });
  }

  /** Show which card a choice would favour while it is pointed at. */
  hint(choice) {
    this.columns.forEach((column, position) => {
      const favoured = (choice === "left" && position === 0) || (choice === "right" && position === 1);
      column.classList.toggle("favoured", favoured || choice === "tie");
    });
  }

  reveal(names) {
    this.columns.forEach((column, position) => {
      const name = column.querySelector(".answer-name");
      name.textContent = names[position];
      name.hidden = false;
    });
  }

  reset() {
    this.mark(null);
    for (const column of this.columns) column.querySelector(".answer-name").hidden = true;
  }
}

function addHead(column, position) {
  const head = document.createElement("div");
  head.className = "answer-head";
  head.innerHTML =
    `<span class="badge" aria-hidden="true">${letter(position)}</span>` +
    `<h2 id="answer-${position}-title"></h2><span class="answer-name" hidden></span>`;
  setText(head.querySelector("h2"), "answer", { letter: letter(position) });
  column.prepend(head);
  column.setAttribute("role", "region");
  column.setAttribute("aria-labelledby", `answer-${position}-title`);
}

/** Wait for a change of the document after which a condition holds. */
function until(isTrue) {
  return new Promise((resolve) => {
    const look = () => isTrue() && (observer.disconnect(), resolve());
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { childList: true, subtree: true });
    look();
  });
}

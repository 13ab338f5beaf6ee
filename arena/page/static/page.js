// The rater's way: next battle, answers, vote, a moment to undo, names, next battle.

import { onOutage, post, Refusal } from "./api.js";
import { drawReasons, Scales, tickedReasons, VisibleTime } from "./ballot.js";
import { askConsent, askLogin, isDialogOpen, openDialog, prepareDialogs, showInstructions } from "./dialogs.js";
import { BAR, COMPOSER, DIALOGS, HEADER } from "./markup.js";
import { Stage } from "./stage.js";
import { loadTexts, setText, t, translate } from "./texts.js";

const UNDO_MS = 6000;
const WAIT_MS = 1000;
const BUSY_MS = 10000;
const BUSY = ["too_many", "queue_full"];
const KEYS = { 1: "left", 2: "right", 3: "tie", 4: "both_bad", ArrowLeft: "left", ArrowRight: "right" };
const GONE = ["unknown_battle", "expired", "void", "sealed", "no_answer"];
const byId = (id) => document.getElementById(id);

/** Sign in by the link that led here, and take it out of the address. */
async function useLink() {
  const address = new URL(location.href);
  const link = address.searchParams.get("link");
  if (!link) return;
  address.searchParams.delete("link");
  history.replaceState(null, "", address);
  await post("login", { link });
}

class Page {
  constructor(stage) {
    this.stage = stage;
    this.scales = new Scales(stage.columns);
    this.visible = new VisibleTime();
    this.countdown = null;
    this.enter("loading");
  }

  /** Every part of the page looks at this one word: see page.css. */
  enter(phase) {
    this.phase = phase;
    document.body.dataset.phase = phase;
    const isReady = phase === "ready";
    for (const button of document.querySelectorAll("#choices button")) button.disabled = !isReady;
    byId("submit").disabled = !isReady || this.scales.values() === null;
    byId("after").hidden = !["recorded", "revealed", "lost"].includes(phase);
    const isAsked = phase === "asking" || (this.isLive && (isReady || phase === "revealed"));
    byId("composer").hidden = !isAsked;
    for (const id of ["skip", "more"]) byId(id).hidden = !["ready", "streaming"].includes(phase);
  }

  say(key, values = undefined) {
    setText(byId("status"), key, values);
  }

  /** Do something that the service may refuse; every refusal is told and leads somewhere. */
  async attempt(action) {
    try {
      return await action();
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      await this.refused(refusal);
      return null;
    }
  }

  async refused({ code }) {
    this.say(code);
    if (code === "not_signed_in") await askLogin();
    if (code === "not_signed_in" || code === "consent_needed") await this.start();
    else if (code === "prompt_needed") this.compose();
    else if (GONE.includes(code)) await this.next();
  }

  async start() {
    const isWelcome = await this.attempt(() => this.greet());
    if (isWelcome) await this.next();
  }

  /** Learn who the service takes this visitor for, and what it wants first. */
  async greet() {
    await useLink();
    const session = await post("session");
    if (session.title) {
      document.title = session.title;
      setText(byId("page-title"), "given_title", { title: session.title });
    }
    byId("sign-out").hidden = !session.account;
    this.isLive = session.is_live;
    this.questions = session.questions;
    if (session.consent?.needed) await askConsent(session.consent);
    if (session.instructions_html && !this.isInstructed) {
      this.isInstructed = true;
      await showInstructions(session.instructions_html);
    }
    return true;
  }

  async next() {
    this.stopCountdown();
    const answer = await this.attempt(() => post("battle"));
    if (answer?.battle) await this.open(answer.battle);
    else if (answer) this.led(answer);
    else if (BUSY.includes(byId("status").dataset.text)) setTimeout(() => this.next(), BUSY_MS);
  }

  /** There is no battle now: wait for one, or say that there will be none. */
  led({ waiting, finished }, prompt = undefined) {
    if (waiting) this.wait(waiting, prompt);
    else this.finish(finished);
  }

  /** Ask again in a moment, with the prompt that waits. */
  wait({ place }, prompt) {
    this.enter("waiting");
    if (place) this.say("place", { place });
    else this.say("preparing");
    setTimeout(() => (prompt ? this.send(prompt) : this.next()), WAIT_MS);
  }

  finish({ reason }) {
    this.enter("finished");
    this.say(`finished_${reason}`);
  }

  /** Ask for a prompt: a live battle begins with the visitor's own words. */
  compose() {
    setText(byId("composer-title"), "composer_title");
    this.enter("asking");
    this.say("nothing");
    byId("composer-text").focus();
  }

  /** Begin a battle with a prompt, or go on with one; a prompt that is refused is given back. */
  async send(prompt) {
    const isFirst = this.phase !== "ready";
    const path = isFirst ? "battle" : "turn";
    const body = isFirst ? { prompt } : { token: this.battle.token, prompt };
    const answer = await this.attempt(() => post(path, body));
    if (answer?.battle) await this.open(answer.battle);
    else if (answer) this.led(answer, prompt);
    else {
      byId("composer-text").value ||= prompt;
      if (this.phase === "waiting") this.enter("asking");
    }
  }

  /** Show a battle from wherever it stands: being written, ready, or voted but not revealed. */
  async open(battle) {
    this.battle = battle;
    this.prepareForm(battle.form);
    this.drawProgress(battle.progress);
    this.enter("streaming");
    window.scrollTo({ top: 0 });
    this.followQueue(battle);
    const isComplete = await this.stage.show(battle, () => this.resume());
    if (this.battle !== battle) return;
    if (!isComplete) this.lost();
    else if (battle.receipt) this.recorded(battle.receipt);
    else this.ready();
  }

  /** Tell the service that somebody waits for this battle; what it says is drawn, not read. */
  async resume() {
    try {
      await post("view", { token: this.battle.token });
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
    }
  }

  /** Say the battle's place in the queue until it is being answered. */
  async followQueue(battle) {
    let { place } = battle;
    while (place && this.battle === battle && this.phase === "streaming") {
      this.say("place", { place });
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      const answer = await this.attempt(() => post("view", { token: battle.token }));
      place = answer?.battle.place;
    }
    if (this.battle === battle && this.phase === "streaming") this.say("streaming");
  }

  /** The answers could not be made; which of the two failed is nobody's business. */
  lost() {
    this.enter("lost");
    this.say("no_answer");
    byId("composer-text").value = this.isLive ? this.battle.turns.at(-1).prompt.at(-1).content : "";
    this.offerNext();
  }

  prepareForm(form) {
    const isPairwise = form.kind === "pairwise";
    byId("choices").hidden = !isPairwise;
    byId("submit").hidden = isPairwise;
    byId("choice-tie").hidden = !form.allows_tie;
    byId("choice-both_bad").hidden = !form.allows_both_bad;
    byId("comment").value = "";
    byId("note").textContent = "";
    drawReasons(byId("reasons"), form.reasons);
    const isStrict = form.kind === "ranking" && !form.allows_tie;
    this.question = isPairwise ? "question" : `question_${form.kind}${isStrict ? "_strict" : ""}`;
    this.scales.draw(form, this.questions, () => this.enter(this.phase));
  }

  drawProgress(progress) {
    byId("progress").hidden = !progress;
    if (!progress) return;
    const hasEnd = progress.total !== null;
    setText(byId("progress-text"), hasEnd ? "progress" : "progress_open", progress);
    byId("progress-bar").hidden = !hasEnd;
    byId("progress-bar").value = hasEnd ? progress.done / progress.total : 0;
  }

  ready() {
    setText(byId("composer-title"), "follow_up");
    this.scales.lock(false);
    this.enter("ready");
    this.say(this.question);
    this.visible.start();
    // A text field must not swallow the keys that vote.
    if (document.activeElement?.matches("textarea")) document.activeElement.blur();
  }

  ballot(choice) {
    const { rank, ...ratings } = this.scales.values() ?? {};
    return {
      token: this.battle.token,
      choice,
      ranking: rank ?? null,
      ratings,
      reasons: tickedReasons(byId("reasons")),
      comment: byId("comment").value.trim(),
      visible_ms: this.visible.elapsed_ms,
      reveal: false,
    };
  }

  /** Vote. The phase changes before anything is sent, so that a second key finds no open battle. */
  async vote(choice) {
    if (this.phase !== "ready") return;
    this.enter("voting");
    this.stage.mark(choice);
    this.scales.lock(true);
    const answer = await this.attempt(() => post("vote", this.ballot(choice)));
    if (answer) this.recorded(answer.receipt);
    else if (this.phase === "voting") this.voteAgain();
  }

  /** Offer the vote once more, and go on saying why. */
  voteAgain() {
    const why = byId("status").dataset.text;
    this.stage.mark(null);
    this.ready();
    this.say(why);
  }

  recorded(receipt) {
    this.visible.stop();
    this.enter("recorded");
    this.stage.mark(receipt.choice);
    if (receipt.status === "unverified") this.say("unverified");
    else if (receipt.choice) this.say("recorded", { choice: t(receipt.choice) });
    else this.say("recorded_ballot");
    byId("undo").hidden = false;
    byId("mistake").hidden = true;
    setText(byId("go-on-text"), "reveal");
    byId("go-on").focus({ preventScroll: true });
    this.startCountdown();
  }

  startCountdown() {
    const dial = byId("countdown");
    dial.style.animation = "none";
    void dial.offsetWidth; // starts the animation anew
    dial.style.animation = "";
    dial.style.animationDuration = `${UNDO_MS}ms`;
    this.countdown = setTimeout(() => this.countedDown(), UNDO_MS);
  }

  /** Names come by themselves, unless the rater is about to take the vote back. */
  countedDown() {
    if (byId("undo").matches(":hover, :focus-visible") || isDialogOpen()) this.startCountdown();
    else this.reveal();
  }

  stopCountdown() {
    clearTimeout(this.countdown);
    this.countdown = null;
  }

  async undo() {
    if (this.phase !== "recorded") return;
    this.stopCountdown();
    const answer = await this.attempt(() => post("undo", { token: this.battle.token }));
    if (!answer) return;
    this.battle = answer.battle;
    this.stage.mark(null);
    this.ready();
    this.say("undone");
  }

  async reveal() {
    if (this.phase !== "recorded") return;
    this.stopCountdown();
    const answer = await this.attempt(() => post("reveal", { token: this.battle.token }));
    if (!answer) return;
    if (answer.reveal?.names.length || answer.reveal?.note) this.revealed(answer.reveal);
    else await this.next();
  }

  revealed({ names, note }) {
    this.enter("revealed");
    if (names.length) this.stage.reveal(names);
    // What was right is a key of the table of texts, such as "{left}: it is shorter".
    byId("note").textContent = (note ?? "").replace(/^\{(\w+)\}/, (_, key) => t(key));
    if (names.length === 2) this.say("revealed", { left: names[0], right: names[1] });
    else this.say(names.length ? "revealed_all" : "recorded_ballot");
    setText(byId("composer-title"), "your_prompt");
    this.offerNext();
    byId("mistake").hidden = false;
  }

  offerNext() {
    byId("undo").hidden = true;
    byId("mistake").hidden = true;
    setText(byId("go-on-text"), "next");
    byId("go-on").focus({ preventScroll: true });
  }

  async reportMistake() {
    const answer = await this.attempt(() => post("mistake", { token: this.battle.token }));
    if (!answer) return;
    byId("mistake").hidden = true;
    this.say(answer.receipt.status === "mistaken" ? "mistake_done" : "mistake_late");
  }

  goOn() {
    if (this.phase === "recorded") return this.reveal();
    return ["revealed", "lost"].includes(this.phase) ? this.next() : undefined;
  }

  async skip(reason) {
    await this.attempt(() => post("skip", { token: this.battle.token, reason }));
    await this.next();
  }
}

function wire(page) {
  for (const button of document.querySelectorAll("#choices button")) {
    const { choice } = button.dataset;
    button.onclick = () => page.vote(choice);
    button.onmouseenter = button.onfocus = () => page.stage.hint(choice);
    button.onmouseleave = button.onblur = () => page.stage.hint(null);
  }
  byId("submit").onclick = () => page.vote(null);
  byId("undo").onclick = () => page.undo();
  byId("mistake").onclick = () => page.reportMistake();
  byId("go-on").onclick = () => page.goOn();
  byId("skip").onclick = () => openDialog("skip-dialog");
  byId("more").onclick = () => openDialog("more-dialog");
  for (const button of document.querySelectorAll("[data-reason]")) {
    button.onclick = () => (byId("skip-dialog").close(), page.skip(button.dataset.reason));
  }
  wireComposer(page);
  document.addEventListener("keydown", (event) => pressed(page, event));
  onOutage((isOut) => {
    document.body.classList.toggle("outage", isOut);
    if (isOut) page.say("trying_again");
  });
}

function wireComposer(page) {
  const text = byId("composer-text");
  byId("composer-form").onsubmit = (event) => {
    event.preventDefault();
    const prompt = text.value.trim();
    if (!prompt) return;
    text.value = "";
    page.send(prompt);
  };
  text.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer-form").requestSubmit();
  };
}

function pressed(page, event) {
  const isTaken = event.ctrlKey || event.metaKey || event.altKey || event.repeat || isDialogOpen();
  if (isTaken || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const isChoice = event.key in KEYS && !byId("choices").hidden;
  const choice = isChoice && byId(`choice-${KEYS[event.key]}`);
  if (choice && !choice.hidden && page.phase === "ready") page.vote(KEYS[event.key]);
  else if (event.key === "Enter" && !event.target.closest("button, a")) page.goOn();
  else if (event.key === "u") page.undo();
  else if (event.key === "s" && !byId("skip").hidden) openDialog("skip-dialog");
  else return;
  event.preventDefault();
}

async function main() {
  await loadTexts();
  document.body.insertAdjacentHTML("afterbegin", HEADER);
  document.body.insertAdjacentHTML("beforeend", COMPOSER + BAR + DIALOGS);
  translate(document);
  prepareDialogs();
  const page = new Page(await Stage.open());
  wire(page);
  await page.start();
}

main();

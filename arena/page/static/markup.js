// The page around Gradio's answers: constant markup, filled with texts by data-text.

const choice = (name, key, arrow) => `
  <button type="button" class="choice" data-choice="${name}" id="choice-${name}" aria-keyshortcuts="${key}">
    <kbd aria-hidden="true">${key}</kbd><span data-text="${name}"></span>
    ${arrow ? `<span class="arrow" aria-hidden="true">${arrow}</span>` : ""}
  </button>`;

export const HEADER = `
  <header id="top">
    <h1 id="page-title" data-text="page_title"></h1>
    <div id="progress" hidden>
      <span id="progress-text"></span>
      <progress id="progress-bar" max="1" value="0" aria-labelledby="progress-text"></progress>
    </div>
    <button type="button" id="menu-button" class="quiet icon" data-label="menu" aria-haspopup="dialog">
      <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
        <path d="M3 5.5h14M3 10h14M3 14.5h14" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/>
      </svg>
    </button>
  </header>`;

export const COMPOSER = `
  <section id="composer" hidden>
    <h2 id="composer-title" data-text="composer_title"></h2>
    <p id="composer-hint" data-text="composer_hint"></p>
    <form id="composer-form">
      <label for="composer-text" class="unseen" data-text="your_prompt"></label>
      <textarea id="composer-text" rows="1" maxlength="20000" required></textarea>
      <button type="submit" class="primary" data-text="send"></button>
    </form>
  </section>`;

export const BAR = `
  <section id="bar" data-label="question">
    <div id="status-line">
      <p id="status" role="status" aria-live="polite" data-text="loading"></p>
      <button type="button" id="more" class="quiet" data-text="more" aria-haspopup="dialog"></button>
      <button type="button" id="skip" class="quiet" data-text="skip" aria-keyshortcuts="s" aria-haspopup="dialog"></button>
    </div>
    <p id="note" role="status"></p>
    <div id="choices" role="group" data-label="question">
      ${choice("left", 1, "←")}${choice("tie", 3)}${choice("both_bad", 4)}${choice("right", 2, "→")}
    </div>
    <button type="button" id="submit" class="primary wide" data-text="submit" hidden></button>
    <div id="after" hidden>
      <button type="button" id="undo" aria-keyshortcuts="u"><kbd aria-hidden="true">U</kbd><span data-text="undo"></span></button>
      <button type="button" id="mistake" data-text="mistake" hidden></button>
      <button type="button" id="go-on" class="primary" aria-keyshortcuts="Enter">
        <span id="go-on-text" data-text="reveal"></span><kbd aria-hidden="true">↵</kbd>
        <span id="countdown" aria-hidden="true"></span>
      </button>
    </div>
  </section>`;

const heading = (key) => `
  <div class="dialog-head"><h2 data-text="${key}"></h2>
    <button type="button" class="quiet icon" data-close data-label="close"><span aria-hidden="true">✕</span></button>
  </div>`;

const SKIP_REASONS = ["cannot_judge", "unclear", "language", "unpleasant", "broken"];

export const DIALOGS = `
  <dialog id="menu" data-label="menu">
    ${heading("menu")}
    <label>
      <span data-text="language"></span><select id="language"></select>
    </label>
    <label>
      <span data-text="theme"></span>
      <select id="theme">
        <option value="auto" data-text="theme_auto"></option>
        <option value="light" data-text="theme_light"></option>
        <option value="dark" data-text="theme_dark"></option>
      </select>
    </label>
    <button type="button" id="show-instructions" data-text="instructions" hidden></button>
    <section class="keys">
      <h3 data-text="keys"></h3>
      <dl>
        <dt><kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd> <kbd>4</kbd> <kbd>←</kbd> <kbd>→</kbd></dt><dd data-text="keys_choose"></dd>
        <dt><kbd>↵</kbd></dt><dd data-text="keys_go_on"></dd>
        <dt><kbd>U</kbd></dt><dd data-text="keys_undo"></dd>
        <dt><kbd>S</kbd></dt><dd data-text="keys_skip"></dd>
      </dl>
    </section>
    <section>
      <h3 data-text="privacy"></h3>
      <p data-text="privacy_text"></p>
      <div class="row">
        <button type="button" data-forget="keep" data-text="forget_keep"></button>
        <button type="button" data-forget="delete" class="danger" data-text="forget_delete"></button>
      </div>
    </section>
    <button type="button" id="sign-out" data-text="sign_out" hidden></button>
  </dialog>
  <dialog id="skip-dialog" data-label="skip_title">
    ${heading("skip_title")}
    ${SKIP_REASONS.map((r) => `<button type="button" data-reason="${r}" data-text="skip_${r}"></button>`).join("")}
  </dialog>
  <dialog id="more-dialog" data-label="more_title">
    ${heading("more_title")}
    <div id="reasons" role="group" data-label="more_title"></div>
    <label><span data-text="comment"></span><textarea id="comment" rows="3" maxlength="2000"></textarea></label>
    <button type="button" class="primary" data-close data-text="close"></button>
  </dialog>
  <dialog id="consent-dialog" data-label="consent_title" data-firm>
    <div class="dialog-head"><h2 data-text="consent_title"></h2></div>
    <div id="consent-text" class="text"></div>
    <button type="button" id="agree" class="primary" data-text="agree"></button>
  </dialog>
  <dialog id="instructions-dialog" data-label="instructions">
    ${heading("instructions")}
    <div id="instructions-text" class="text"></div>
    <button type="button" class="primary" data-close data-text="begin"></button>
  </dialog>
  <dialog id="login-dialog" data-label="sign_in" data-firm>
    <div class="dialog-head"><h2 data-text="sign_in"></h2></div>
    <form id="login-form">
      <label><span data-text="name"></span><input name="name" autocomplete="username" required></label>
      <label><span data-text="password"></span><input name="password" type="password" autocomplete="current-password" required></label>
      <p id="login-error" role="alert"></p>
      <button type="submit" class="primary wide" data-text="sign_in"></button>
    </form>
  </dialog>`;

/* Walletkin in the browser: conveniences only, every page works without them. No dependency, one listener per event.
   In this order: theme, copying, htmx (CSRF, hidden tabs, open rows, live region), tokens, intake, forms, times, images. */
(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const on = (event, handle, options) => document.addEventListener(event, handle, options);
  const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

  root.classList.add("js");

  /* Theme: kept for the browser in localStorage, and in a cookie so that the server paints the right one at once. */
  const THEMES = ["auto", "light", "dark"];
  const THEME_WORDS = { auto: "as the system", light: "light", dark: "dark" };
  const stored = () => {
    try { return localStorage.getItem("theme") || "auto"; } catch { return root.dataset.theme || "auto"; }
  };

  function setTheme(theme) {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of $$("[data-theme-toggle]")) {
      button.setAttribute("aria-label", `Colours: ${THEME_WORDS[theme]}`);
      button.title = `Colours: ${THEME_WORDS[theme]}`;
      button.dataset.themeToggle = theme;
    }
  }

  function nextTheme() {
    const theme = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
    try { localStorage.setItem("theme", theme); } catch { /* private windows: the cookie alone remembers */ }
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    setTheme(theme);
    say(`Colours: ${THEME_WORDS[theme]}`);
  }

  /* Live region: what a swap says in data-live, the newest only, at most every five seconds. */
  const SAY_EVERY_MS = 5000;
  let saidAt = -SAY_EVERY_MS;
  let toSay = "";
  let timer = 0;

  function say(text) {
    toSay = text;
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      saidAt = performance.now();
      const live = $("#live");
      if (live && live.textContent !== toSay) live.textContent = toSay;
    }, Math.max(100, SAY_EVERY_MS - (performance.now() - saidAt)));
  }

  /* Copying. */
  async function copy(button) {
    const text = button.dataset.copy || location.href;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      if (!copyOldWay(text)) return say("Copying is not allowed here");
    }
    say("Copied");
    button.classList.add("is-done");
    const use = $("use", button);
    const href = use && use.getAttribute("href");
    if (use && href !== "#i-check") {
      use.setAttribute("href", "#i-check");
      setTimeout(() => { use.setAttribute("href", href); button.classList.remove("is-done"); }, 1500);
    }
  }

  /* Without https there is no clipboard: copy from a field that is there for a moment. */
  function copyOldWay(text) {
    const field = document.createElement("textarea");
    const focused = document.activeElement;
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }

  on("click", (event) => {
    const button = closest(event, "[data-copy], [data-theme-toggle], [data-drop-remove]");
    if (button?.dataset.copy !== undefined) copy(button);
    else if (button?.dataset.themeToggle !== undefined) nextTheme();
    else if (button) removeFile(button.closest("[data-drop]"));
    for (const menu of $$("details.menu[open], details.toolbar-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  on("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = closest(event, "details.menu[open], details.toolbar-menu[open]");
    if (!menu) return;
    menu.open = false;
    $("summary", menu).focus();
  });

  /* htmx. A poll in a hidden tab is cancelled, the next one after coming back goes through. */
  const isPoll = (element) => (element.getAttribute("hx-trigger") || "").includes("every ");

  on("htmx:configRequest", (event) => {
    const token = $('meta[name="csrf-token"]')?.content;
    if (token && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = token;
  });
  on("htmx:beforeRequest", (event) => {
    if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
  });

  /* Open rows stay open over a swap, by id, and show what they held until it has been fetched anew. htmx itself gives
     the focus back to the element of the same id. */
  const openRows = new Map();
  const loader = (row) => $('[hx-trigger^="toggle"]', row);
  on("htmx:beforeSwap", (event) => {
    for (const row of $$("details[open][id]", event.detail.target)) openRows.set(row.id, $(".pair-panel", row));
  });
  on("htmx:afterSwap", () => {
    for (const [id, panel] of openRows) {
      const row = document.getElementById(id);
      if (!row) continue;
      if (panel && !panel.isConnected && loader(row)) loader(row).replaceChildren(...panel.childNodes);
      row.open = true;
    }
  });
  on("htmx:afterSettle", () => {
    for (const id of openRows.keys()) {
      const row = document.getElementById(id);
      if (row && loader(row)) row.dispatchEvent(new Event("toggle"));
    }
    openRows.clear();
  });
  on("htmx:afterSettle", (event) => {
    afterSwaps();
    for (const gutter of $$("[data-lined]", event.target)) number(gutter);
    const speaker = event.target.matches?.("[data-live]") ? event.target : $("[data-live]", event.target);
    if (speaker) say(speaker.dataset.live);
  });
  /* A poll brings a hundred cells one by one: what looks at the whole page is done once for all of them. */
  let swapped = false;
  function afterSwaps() {
    if (swapped) return;
    swapped = true;
    setTimeout(() => {
      swapped = false;
      refreshAges();
      wake();
    });
  }
  on("htmx:sendError", () => say("The server does not answer. It will be asked again."));
  on("htmx:responseError", (event) => say(`The server answered ${event.detail.xhr.status}.`));

  /* Tokens. A page has one poller, which asks for the cells that are awaited at the moment, also in parts that came later:
     every two seconds, less often while nothing comes, never in a hidden tab. On 286 htmx forgets it; cells that come to be
     awaited later, by a swap or a refresh, get a new one. The answer swaps cells out of band. */
  const POLL_MS = 2000;
  const SLOWEST_MS = 10000;
  const MOST_MINTS = 150;
  let pollWait = POLL_MS;
  let pollAt = 0;
  let asked = 0;
  const poller = () => $("[data-tokens]");
  const mintsOf = (cells) => [...new Set(cells.map((cell) => cell.dataset.mint))];
  const awaited = () => mintsOf($$("[data-mint][data-awaited]"));

  function wake() {
    const old = poller();
    const count = awaited().length;
    if (!old || !count) return;
    if (count > asked) [pollWait, pollAt, asked] = [POLL_MS, 0, count];
    if (old.hasAttribute("hx-get")) return;
    const fresh = old.cloneNode();
    fresh.setAttribute("hx-get", old.dataset.tokens);
    fresh.setAttribute("hx-trigger", "every 2s, ask");
    fresh.setAttribute("hx-swap", "none");
    old.replaceWith(fresh);
    window.htmx?.process(fresh);
  }

  on("htmx:configRequest", (event) => {
    if (event.target !== poller()) return;
    const mints = awaited();
    asked = mints.length;
    event.detail.path = `${event.target.dataset.tokens}?mints=${mints.slice(0, MOST_MINTS).join(",")}`;
  });
  on("htmx:beforeRequest", (event) => {
    // A timer that is a little early must not wait for its next turn.
    if (event.target === poller() && (!asked || performance.now() < pollAt - POLL_MS / 4)) event.preventDefault();
  });
  on("htmx:afterRequest", (event) => {
    if (event.target !== poller()) return;
    const left = awaited().length;
    const arrived = left < asked;
    pollWait = arrived ? POLL_MS : Math.min(SLOWEST_MS, pollWait * 1.5);
    pollAt = performance.now() + pollWait;
    asked = left;
    if (arrived) sayTokens(left);
    if (event.detail.xhr?.status !== 286) return;
    event.target.removeAttribute("hx-get");
    wake(); // more than one question holds, or a cell with a selection, which was left alone
  });
  on("visibilitychange", () => {
    if (document.hidden || !awaited().length) return;
    [pollWait, pollAt] = [POLL_MS, 0];
    poller()?.dispatchEvent(new Event("ask"));
  });

  function sayTokens(left) {
    const all = mintsOf($$(".token[data-mint]"));
    const count = (state) => mintsOf($$(`.token-is-${state}.token`)).length;
    const rest = left ? "" : [[count("unlisted"), "without a market"], [count("failed"), "failed"]]
      .filter(([number]) => number).map(([number, words]) => `, ${number} ${words}`).join("");
    say(`${count("resolved")} of ${all.length} ${all.length === 1 ? "token" : "tokens"} resolved${rest}`);
  }

  /* Cells are put in here and not by htmx, which would tell every cell of each cell after it: seventy of them would
     hold the page up. A cell in which something is selected waits for the next answer; one that has the focus (Retry)
     hands it on. */
  on("htmx:oobBeforeSwap", (event) => {
    const { target: cell, fragment } = event.detail;
    if (!cell.dataset.mint) return;
    event.detail.shouldSwap = false;
    const selection = document.getSelection();
    const inside = cell.contains(selection.anchorNode) || cell.contains(selection.focusNode);
    if (inside && !selection.isCollapsed) return;
    const focused = cell.contains(document.activeElement);
    const fresh = fragment.firstElementChild;
    cell.replaceWith(fresh);
    const button = $("button", fresh);
    if (button) window.htmx.process(fresh);
    if (focused && !button) fresh.tabIndex = -1;
    if (focused) (button || fresh).focus({ preventScroll: true });
    afterSwaps();
  });

  /* A refresh names the mints of the page, those in sight first; then their new prices are awaited. */
  const inSight = (cell) => {
    const { top, bottom, height } = cell.getBoundingClientRect();
    return height > 0 && bottom > 0 && top < innerHeight;
  };
  function pageMints() {
    const cells = $$("[data-mint]");
    return mintsOf([...cells.filter(inSight), ...cells]).slice(0, MOST_MINTS);
  }
  on("htmx:configRequest", (event) => {
    if (!event.target.matches("[data-refresh]")) return;
    const first = event.detail.formData.getAll("mints"); // that of a Retry
    event.detail.parameters.mints = [...first, ...pageMints()].join(",");
  });
  on("htmx:afterRequest", (event) => {
    // The form itself may have been swapped away by the answer.
    if (!event.detail.requestConfig?.elt.matches("[data-refresh]") || !event.detail.successful) return;
    const mints = new Set(pageMints());
    for (const cell of $$("[data-mint]")) if (mints.has(cell.dataset.mint)) cell.dataset.awaited = "";
    asked = 0;
    wake();
    say("Asking for prices");
  });

  /* Intake: line numbers, and files dropped or chosen. */
  function number(box) {
    const field = $("textarea", box);
    const gutter = $("[data-gutter]", box);
    if (!field || !gutter) return;
    const lines = field.value.split("\n").length;
    if (Number(gutter.dataset.lines) !== lines) {
      gutter.textContent = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
      gutter.dataset.lines = lines;
    }
    gutter.scrollTop = field.scrollTop;
  }

  on("input", (event) => {
    const box = closest(event, "[data-lined]");
    if (box) number(box);
  });
  on("scroll", (event) => {
    const box = closest(event, "[data-lined]");
    if (box) number(box);
  }, true);

  const bytes = (size) => {
    if (size < 1000) return `${size} B`;
    return size < 1e6 ? `${(size / 1000).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
  };

  /* Count lines as the server does, which also reads UTF-16 with a byte order mark. */
  async function countLines(file) {
    const data = new Uint8Array(await file.arrayBuffer());
    const mark = (data[0] << 8) | data[1];
    const coding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
    const text = new TextDecoder(coding).decode(data).replace(/(\r\n|\r|\n)+$/, "");
    return text ? text.split(/\r\n|\r|\n/).length : 0;
  }

  async function showFile(zone) {
    const file = $('[type="file"]', zone).files[0];
    const note = $("[data-drop-note]", zone);
    const name = $("[data-drop-name]", zone);
    name.dataset.empty ??= name.textContent;
    name.textContent = file ? file.name : name.dataset.empty;
    $("[data-drop-remove]", zone).hidden = !file;
    $("[data-drop-hint]", zone).textContent = file ? "Drop another file here to replace it" : "Drop a file here";
    note.textContent = file ? bytes(file.size) : "";
    if (!file || file.size > 5e6) return;
    const lines = await countLines(file);
    if ($('[type="file"]', zone).files[0] !== file) return;
    note.textContent = `${lines.toLocaleString("en-GB")} ${lines === 1 ? "line" : "lines"}, ${bytes(file.size)}`;
  }

  function removeFile(zone) {
    const input = $('[type="file"]', zone);
    input.value = "";
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.focus();
  }

  on("change", (event) => {
    const zone = closest(event, "[data-drop]");
    if (zone) showFile(zone);
  });

  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    on(kind, (event) => {
      const zone = $("[data-drop]");
      if (!zone || !hasFiles(event)) return;
      event.preventDefault();
      const inside = zone.contains(event.target);
      zone.classList.toggle("is-over", inside && (kind === "dragenter" || kind === "dragover"));
      if (kind !== "drop" || !inside) return;
      const input = $('[type="file"]', zone);
      const chosen = new DataTransfer();
      chosen.items.add(event.dataTransfer.files[0]);
      input.files = chosen.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }

  /* A form is sent once: a second press while the first is under way does nothing. */
  const setBusy = (form, busy) => {
    form.toggleAttribute("data-busy", busy);
    for (const button of $$('button[type="submit"]', form)) {
      button.classList.toggle("is-busy", busy);
      if (busy) button.setAttribute("aria-busy", "true");
      else button.removeAttribute("aria-busy");
    }
  };
  on("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" && !form.hasAttribute("hx-post")) return;
    if (form.hasAttribute("data-busy")) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (!event.defaultPrevented || form.hasAttribute("hx-post")) setBusy(form, true);
  }, true);
  on("htmx:afterRequest", (event) => {
    const form = event.detail.elt.closest?.("form[data-busy]");
    if (form) setBusy(form, false);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of $$("form[data-busy]")) setBusy(form, false);
  });

  /* Relative times, in the words of display.age. */
  const MONTHS = "January February March April May June July August September October November December".split(" ");

  function age(at) {
    const seconds = Math.max(0, Date.now() / 1000 - at);
    if (seconds < 5) return "just now";
    if (seconds < 60) return `${Math.floor(seconds)}\u00a0s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)}\u00a0min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)}\u00a0h ago`;
    const days = Math.floor(seconds / 86400);
    if (days < 7) return days === 1 ? "yesterday" : `${days} days ago`;
    const date = new Date(at * 1000);
    return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  }

  function refreshAges() {
    if (document.hidden) return;
    for (const element of $$("time[data-relative]")) {
      const text = age(Date.parse(element.dateTime) / 1000);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  /* A logo that cannot be had becomes the monogram it stood for. */
  on("error", (event) => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement) || !image.dataset.monogram) return;
    const disc = document.createElement("span");
    disc.className = `disc monogram-${image.dataset.colour}`;
    disc.setAttribute("aria-hidden", "true");
    disc.textContent = image.dataset.monogram;
    image.replaceWith(disc);
  }, true);

  setTheme(stored());
  $$("[data-lined]").forEach(number);
  $$("[data-drop]").forEach((zone) => { if ($('[type="file"]', zone).files.length) showFile(zone); });
  refreshAges();
  setInterval(refreshAges, 15000);
  on("visibilitychange", refreshAges);
})();

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

  /* Theme: stored in localStorage, and in a cookie so that the server renders the right one at once. */
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

  /* Live region: announces the newest data-live text of a swap, at most every five seconds. */
  const SAY_EVERY_MS = 5000;
  let saidAt = -SAY_EVERY_MS;
  let toSay = "";
  let timer = 0;
  let weighs = false;

  /* An important message (all is done) is announced before a lesser one can replace it. */
  function say(text, weighty = false) {
    if (weighs && !weighty) return;
    toSay = text;
    weighs = weighty;
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      weighs = false;
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
    setTimeout(() => button.classList.remove("is-done"), 1500);
  }

  /* Without https there is no clipboard: copy from a temporary field. */
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

  /* An open menu covers what follows it: it closes when the focus leaves it. */
  on("focusin", (event) => {
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

  /* htmx. A poll in a hidden tab is cancelled; the next one after the tab is shown goes through. */
  const isPoll = (element) => (element.getAttribute("hx-trigger") || "").includes("every ");

  on("htmx:configRequest", (event) => {
    const token = $('meta[name="csrf-token"]')?.content;
    if (token && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = token;
  });
  on("htmx:beforeRequest", (event) => {
    if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
  });

  /* Open rows stay open over a swap, by id, and show their old content until the new one is fetched. htmx returns the
     focus to the element with the same id; an element without one is found by its position inside one that has. */
  const FOCUSABLE = "a[href], button, input, select, textarea, summary";
  const openRows = new Map();
  let lost = null;
  const loader = (row) => $('[hx-trigger^="toggle"]', row);
  function keep(target) {
    for (const row of $$("details[open][id]", target)) openRows.set(row.id, $(".pair-panel", row));
    const focused = document.activeElement;
    if (!target.contains(focused) || focused.id || focused === target) return;
    const around = focused.closest("[id]");
    if (around) lost = [around.id, $$(FOCUSABLE, around).indexOf(focused)];
  }
  on("htmx:beforeSwap", (event) => keep(event.detail.target));
  on("htmx:oobBeforeSwap", (event) => { if (!event.detail.target.dataset.mint) keep(event.detail.target); });
  on("htmx:afterSwap", () => {
    for (const [id, panel] of openRows) {
      const row = document.getElementById(id);
      if (!row) continue;
      // Every part of a response fires a swap event; the first one restores the open rows.
      if (panel?.firstChild && !panel.isConnected && loader(row)) loader(row).replaceChildren(...panel.childNodes);
      row.open = true;
    }
  });
  on("htmx:afterSettle", () => {
    for (const id of openRows.keys()) {
      const row = document.getElementById(id);
      if (row && loader(row)) row.dispatchEvent(new Event("toggle"));
    }
    openRows.clear();
    if (lost && document.activeElement === document.body) {
      const [id, place] = lost;
      const around = document.getElementById(id);
      if (around) ($$(FOCUSABLE, around)[place] || around).focus({ preventScroll: true });
    }
    lost = null;
  });
  on("htmx:afterSettle", (event) => {
    afterSwaps();
    for (const gutter of $$("[data-lined]", event.target)) number(gutter);
    const speaker = event.target.matches?.("[data-live]") ? event.target : $("[data-live]", event.target);
    if (speaker) say(speaker.dataset.live, event.target.id === "content");
  });
  /* A poll swaps a hundred cells one by one: work on the whole page runs once for all of them. */
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
  /* A failed request is reported where its content was missing, with the server's reason and a way to retry. A failed
     poll keeps the old content and retries by itself; a bar at the foot of the window says so until one succeeds. */
  const SILENT = "The server does not answer. Check the connection.";
  const RETRIED = (status) => !status || status === 429 || status >= 500;
  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  function alertIcon() {
    const SVG = "http://www.w3.org/2000/svg";
    const icon = document.createElementNS(SVG, "svg");
    for (const [key, value] of [["class", "icon i-circle-alert"], ["width", 16], ["height", 16], ["aria-hidden", "true"]]) icon.setAttribute(key, value);
    return icon;
  }

  function reason(xhr) {
    if (!xhr?.status) return SILENT;
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    return $(".error-page p", page)?.textContent || `The server answered ${xhr.status}.`;
  }

  function place(element, target) {
    if (element === target && loader(target.parentElement)) return (fault) => target.replaceChildren(fault);
    if (target.matches("tr")) return (fault) => target.lastElementChild.append(fault);
    const head = target.matches(".card") && $(".card-head", target);
    return head ? (fault) => head.after(fault) : (fault) => target.append(fault);
  }

  function failed(event) {
    const { elt: element, target, xhr, requestConfig: asked } = event.detail;
    if (isPoll(element)) return silence(true);
    const words = reason(xhr);
    const fault = make("div", { class: "error fault", role: "alert" }, alertIcon());
    const body = make("div", {}, make("p", {}, words));
    fault.append(body);
    if (RETRIED(xhr?.status)) {
      const retry = make("button", { class: "button button-small", type: "button" }, "Retry");
      retry.addEventListener("click", () => {
        fault.remove();
        window.htmx.ajax(asked.verb, asked.path, { source: element });
      });
      body.append(retry);
    }
    const where = asked.target?.isConnected ? asked.target : target;
    for (const old of $$(".fault", where)) old.remove();
    place(element, where)(fault);
    say(words);
  }
  on("htmx:sendError", failed);
  on("htmx:responseError", failed);
  on("htmx:beforeRequest", (event) => { for (const old of $$(".fault", event.detail.target)) old.remove(); });

  function silence(silent) {
    const bar = $("#silence");
    if (silent && !bar) {
      document.body.append(make("p", { id: "silence", class: "silence", role: "status" }, "The server does not answer. The page retries every few seconds; what you see may be out of date."));
    } else if (!silent) bar?.remove();
  }
  // Before the swap: the last poll removes its own element, which then fires no event.
  on("htmx:beforeOnLoad", (event) => { if (isPoll(event.detail.elt) && event.detail.xhr.status < 400) silence(false); });

  /* Tokens. A page has one poller for its loading cells, those of later swaps included: every two seconds, less often
     while nothing changes, never in a hidden tab. On 286 htmx stops it; cells that start loading later, after a swap or a
     refresh, get a new one. The response swaps cells out of band. */
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
    // A timer that fires a little early must not wait for the next round.
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
    wake(); // more mints than one request holds, or a cell with a selection, which was not replaced
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

  /* Cells are swapped here and not by htmx, which fires an event on every cell for each cell after it: seventy of them
     would block the page. A cell with a selection waits for the next response; one with the focus (Retry) passes it on. */
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

  /* A refresh sends the mints of the page, visible ones first; their cells then show as loading. */
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
    const first = event.detail.formData.getAll("mints"); // from a Retry button
    event.detail.parameters.mints = [...first, ...pageMints()].join(",");
  });
  on("htmx:afterRequest", (event) => {
    // The response may have replaced the form itself.
    if (!event.detail.requestConfig?.elt.matches("[data-refresh]") || !event.detail.successful) return;
    const mints = new Set(pageMints());
    for (const cell of $$("[data-mint]")) if (mints.has(cell.dataset.mint)) cell.dataset.awaited = "";
    asked = 0;
    wake();
    say("Looking up prices");
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

  /* Counts lines as the server does, UTF-16 with a byte order mark included. */
  async function countLines(file) {
    const data = new Uint8Array(await file.arrayBuffer());
    const mark = (data[0] << 8) | data[1];
    const coding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
    const text = new TextDecoder(coding).decode(data).replace(/(\r\n|\r|\n)+$/, "");
    return text ? text.split(/\r\n|\r|\n/).length : 0;
  }

  /* A file that cannot be a list is reported at once: nothing is sent, and the previous choice is cleared. */
  function refusal(file, most) {
    if (/^(image|audio|video)\//.test(file.type)) return "This is a picture or a recording, not a list. Choose a CSV, or paste the addresses.";
    if (file.size > most) return `${bytes(file.size)} is too large; a list may have up to ${bytes(most)}. Leave out columns, or split it.`;
    return "";
  }
  on("change", (event) => {
    const zone = closest(event, "[data-drop]");
    const file = zone && event.target.files?.[0];
    const words = file ? refusal(file, Number(zone.dataset.most)) : "";
    const error = zone && $("[data-drop-error]", zone);
    if (!error) return;
    error.textContent = words && `${file.name}: ${words}`;
    if (!words) return;
    event.stopImmediatePropagation();
    event.target.value = "";
    showFile(zone);
  }, true);

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

  /* The toolbar field shows one line; the number of lines stands beside it, and Enter submits them. */
  on("input", (event) => {
    const field = closest(event, ".compact-field textarea");
    if (!field) return;
    const lines = field.value.split("\n").filter((line) => line.trim()).length;
    $("[data-count]", field.parentElement).textContent = lines > 1 ? `${lines.toLocaleString("en-GB")} lines` : "";
  });
  on("keydown", (event) => {
    const field = closest(event, ".compact-field textarea");
    if (!field || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    field.form.requestSubmit();
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

  /* A form is submitted once: a second press while the first is pending does nothing. */
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

  /* Relative times, in the words of the filter `age`. */
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

  /* A logo that fails to load becomes its monogram. */
  on("error", (event) => {
    const image = event.target;
    if (!(image instanceof HTMLImageElement) || !image.dataset.monogram) return;
    const disc = document.createElement("span");
    disc.className = `disc monogram-${image.dataset.colour}`;
    disc.setAttribute("aria-hidden", "true");
    disc.textContent = image.dataset.monogram;
    image.replaceWith(disc);
  }, true);

  /* The heat map: the cell under the pointer shows its pair and score, read from two characters a pair. The table beside
     it shows the same without a pointer. */
  const READINGS = { "..": "not kept", "--": "not enough data", "**": "1.00" };
  let cells = null;
  function readCell(drawing, event) {
    if (cells?.drawing !== drawing) cells = { drawing, names: JSON.parse(drawing.dataset.names), at: "" };
    const { names } = cells;
    const box = drawing.getBoundingClientRect();
    const place = (share) => Math.min(names.length - 1, Math.max(0, Math.floor(share * names.length)));
    const [column, row] = [place((event.clientX - box.left) / box.width), place((event.clientY - box.top) / box.height)];
    if (cells.at === `${row} ${column}`) return;
    cells.at = `${row} ${column}`;
    const [a, b] = row < column ? [row, column] : [column, row];
    const start = 2 * (a * names.length - (a * (a + 1)) / 2 + b - a - 1);
    const found = drawing.dataset.readings.slice(start, start + 2);
    const score = READINGS[found] || `0.${found}`;
    const frame = drawing.parentElement;
    const tip = $(".heat-tip", frame) || frame.appendChild(make("p", { class: "heat-tip", "aria-hidden": "true" }));
    tip.replaceChildren(make("bdi", {}, names[row]), ...(row === column ? [] : [" and ", make("bdi", {}, names[column]), ": ", make("strong", {}, score)]));
    const side = frame.getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(event.clientX - side.left + 12, side.width - tip.offsetWidth))}px`;
    tip.style.top = `${event.clientY - side.top + 16}px`;
  }
  for (const kind of ["pointermove", "pointerdown"]) {
    on(kind, (event) => {
      const drawing = closest(event, ".heat-cells");
      if (drawing) readCell(drawing, event);
      else leaveCells();
    }, { passive: true });
  }
  function leaveCells() {
    for (const tip of $$(".heat-tip")) tip.remove();
    cells = null;
  }
  addEventListener("resize", leaveCells);

  setTheme(stored());
  $$("[data-lined]").forEach(number);
  $$("[data-drop]").forEach((zone) => { if ($('[type="file"]', zone).files.length) showFile(zone); });
  refreshAges();
  setInterval(refreshAges, 15000);
  on("visibilitychange", refreshAges);
})();

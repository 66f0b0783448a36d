/* The pair list in the browser: pages that load as they come into view, a bounded number of rows in the document, filters
   in place, the popover of a score, the marked tokens of the open pair. Without it every link leads to a page of its own.
   In this order: the list, its address, filters, opened pairs, the popover. */
(() => {
  "use strict";
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const on = (event, handle, options) => document.addEventListener(event, handle, options);
  const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);
  const card = () => $("#pairs-card[data-pairs]");
  const HEADERS = { "HX-Request": "true", "HX-Target": "rows" };

  /* The list. `rows` has every loaded <li>, in order; only those near the viewport are in the document, and a spacer of
     their height stands for the others. A row that is open, focused or has a selection stays. `mark` of a row is the
     `after` cursor of the page it came with. */
  const MARGIN_PX = 200;
  const AHEAD_PX = 900;
  const FEW = 50; // up to this number all rows stay in the document: they can be found, printed and stepped through
  let list = null;

  function adopt() {
    const ol = $("#pairs-card[data-pairs] #pair-list");
    if (ol === list?.ol) return;
    list = ol && { ol, rows: [], marks: new Map(), heights: new Map(), spacers: [], loading: false, failed: false };
    if (!list) return;
    take($$(":scope > li.pair", ol), $(".pair-after", ol)?.dataset.after || "");
    upgrade(ol);
  }

  function take(found, mark, before = false) {
    const known = new Set(list.rows.map((row) => row.id));
    const fresh = found.filter((row) => !known.has(row.id));
    for (const row of fresh) list.marks.set(row, mark);
    list.rows = before ? [...fresh, ...list.rows] : [...list.rows, ...fresh];
    return fresh;
  }

  function isHeld(row) {
    if (row.contains(document.activeElement) || $("details[open]", row) || row.contains(popover)) return true;
    const selection = document.getSelection();
    return !selection.isCollapsed && (row.contains(selection.anchorNode) || row.contains(selection.focusNode));
  }

  const usual = () => {
    const known = [...list.heights.values()];
    return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : 36;
  };

  /* Puts the rows near the viewport into the document and removes the others; nothing moves on the screen. */
  function settle() {
    if (!list || !list.ol.isConnected) return;
    const { ol, rows, heights } = list;
    const there = rows.filter((row) => row.isConnected);
    for (const row of there) if (!$("details[open]", row)) heights.set(row, row.getBoundingClientRect().height);
    const anchor = there.find((row) => row.getBoundingClientRect().bottom > 60) || there[0];
    const anchoredAt = anchor?.getBoundingClientRect().top;
    const guess = usual();
    const first = $(":scope > .pair-before", ol);
    let y = ol.getBoundingClientRect().top + (first?.offsetHeight || 0);
    if (anchor) y = anchoredAt - heightsUpTo(anchor, guess); // rows above the anchor may have been inserted just now
    const wanted = [];
    let gap = 0;
    let spacers = 0;
    const close = () => {
      if (gap) wanted.push(spacer(spacers++, gap));
      gap = 0;
    };
    for (const row of rows) {
      const height = row.isConnected && $("details[open]", row) ? row.offsetHeight : heights.get(row) ?? guess;
      const near = y + height > -MARGIN_PX && y < innerHeight + MARGIN_PX;
      if (near || rows.length <= FEW || (row.isConnected && isHeld(row))) {
        close();
        wanted.push(row);
      } else gap += height;
      y += height;
    }
    close();
    replace(ol, [first, ...wanted, $(":scope > .pair-after", ol)].filter(Boolean));
    const moved = anchor?.isConnected ? anchor.getBoundingClientRect().top - anchoredAt : 0;
    if (Math.abs(moved) > 0.5) scrollBy(0, moved);
    reopen();
  }

  function heightsUpTo(anchor, guess) {
    let sum = 0;
    for (const row of list.rows) {
      if (row === anchor) break;
      sum += row.isConnected && $("details[open]", row) ? row.offsetHeight : list.heights.get(row) ?? guess;
    }
    return sum;
  }

  function spacer(number, height) {
    list.spacers[number] ??= Object.assign(document.createElement("li"), { className: "pair-gap" });
    list.spacers[number].setAttribute("aria-hidden", "true");
    list.spacers[number].style.height = `${height}px`;
    return list.spacers[number];
  }

  /* Sets the children of an element; those that stay are not moved, which would close and blur them. */
  function replace(parent, wanted) {
    const keep = new Set(wanted);
    for (const child of [...parent.childNodes]) if (!keep.has(child)) child.remove();
    let at = parent.firstChild;
    for (const one of wanted) {
      if (one === at) at = at.nextSibling;
      else parent.insertBefore(one, at);
    }
  }

  /* Loads the page behind a link, above or below. */
  async function load(link) {
    const mine = list;
    const before = link.rel === "prev";
    if (!mine || mine.loading) return;
    mine.loading = true;
    mine.ol.classList.add("is-loading");
    const focused = link === document.activeElement;
    try {
      const answer = await fetch(card().dataset.pairs + new URL(link.href).search, { headers: HEADERS });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (mine === list) put(text, before, focused);
    } catch {
      mine.failed = true; // the link stays and works
      if (mine === list) say("The next pairs could not be loaded. Follow the link to try again.");
    } finally {
      mine.loading = false;
      mine.ol.classList.remove("is-loading");
    }
    if (!mine.failed) look();
  }

  function put(text, before, focused) {
    const made = document.createElement("template");
    made.innerHTML = text;
    const ends = $$(".pair-more", made.content);
    const end = ends.find((one) => one.classList.contains(before ? "pair-before" : "pair-after"));
    const mark = $(".pair-after", made.content)?.dataset.after || "";
    const seen = list.rows.find((row) => row.isConnected && inSight(row));
    const seenAt = seen?.getBoundingClientRect().top;
    const fresh = take($$("li.pair", made.content).map((row) => document.adoptNode(row)), mark, before);
    upgrade(...fresh);
    for (const row of fresh) window.htmx?.process(row);
    const old = $(`:scope > .${before ? "pair-before" : "pair-after"}`, list.ol);
    if (end) old.replaceWith(document.adoptNode(end));
    else if (before) old.remove();
    settle();
    const moved = seen?.isConnected ? seen.getBoundingClientRect().top - seenAt : 0;
    if (Math.abs(moved) > 0.5) scrollBy(0, moved); // the link to the rows above has gone
    const first = fresh[before ? fresh.length - 1 : 0];
    if (focused && first?.isConnected) $("summary", first).focus({ preventScroll: before });
  }

  /* Loads more when an end of the list comes near the viewport; not where other cards follow, which would keep moving away. */
  function look() {
    if (!list || list.failed || list.loading || document.hidden || !endless) return;
    for (const link of $$(":scope > .pair-more a[rel]", list.ol)) {
      const { top, bottom } = link.getBoundingClientRect();
      if (bottom > -AHEAD_PX && top < innerHeight + AHEAD_PX && scrolled) return load(link);
    }
  }

  /* Endless scrolling belongs to the page, whichever card a filter has loaded. Nothing is loaded before the reader
     scrolls: most readers look at the first pairs only. */
  let endless = false;
  let scrolled = false;
  let frame = 0;
  function onScroll() {
    scrolled = true;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      settle();
      look();
      remember();
      if (popover) place();
    });
  }
  addEventListener("scroll", onScroll, { passive: true });
  addEventListener("resize", () => {
    list?.heights.clear();
    settle();
    look();
    if (popover) place();
  });

  /* Its URL. `after` follows the first visible row, and the history entry stores the row at the top of the window and
     the open pairs: reload and Back show the same again. */
  const UNDER_TOOLBAR_PX = 60;
  const inSight = (element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > UNDER_TOOLBAR_PX && top < innerHeight;
  };
  let remembering = 0;
  function remember() {
    clearTimeout(remembering);
    remembering = setTimeout(note, 150);
  }

  function note() {
    clearTimeout(remembering);
    if (!list?.ol.isConnected || returning) return;
    const row = list.rows.find((one) => one.isConnected && inSight(one));
    const anchor = row || $$("main .card[id]").find(inSight);
    const open = [...$$("details[open]", list.ol).map((one) => one.closest("li.pair")?.id), ...toOpen].filter(Boolean);
    const address = new URL(location.href);
    const mark = row ? list.marks.get(row) : "";
    if (mark) address.searchParams.set("after", mark);
    else address.searchParams.delete("after");
    const top = scrollY > 0 && anchor ? anchor.getBoundingClientRect().top : null;
    history.replaceState({ ...history.state, anchor: top === null ? null : anchor.id, top, open }, "", address);
  }

  /* Evidence that is fetched again moves the rows below it: the scroll position is held until the reader acts. */
  const toOpen = new Set();
  const RETURNED_MS = 4000;
  let returning = null;
  function revive(state) {
    if (!list || !(state?.anchor || state?.open?.length)) return;
    for (const id of state.open || []) toOpen.add(id);
    returning = state;
    setTimeout(arrive, RETURNED_MS, state);
    settle();
    restore();
  }

  function restore() {
    const anchor = returning?.anchor && document.getElementById(returning.anchor);
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - returning.top);
  }

  function arrive(state) {
    if (!returning || (state && state !== returning)) return;
    returning = null;
    remember();
  }
  for (const event of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(event, () => arrive(), { passive: true, capture: true });
  }

  /* A row opens only when it is in the document: htmx then fetches its content. */
  function reopen() {
    if (!toOpen.size) return;
    for (const row of list.rows) if (row.isConnected && toOpen.delete(row.id)) $("details", row).open = true;
  }

  /* Filters: a chip, a column head or a select loads its list into the card, and the URL follows. */
  const searchOf = (search) => {
    const query = new URLSearchParams(search);
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    const text = query.toString();
    return text ? `?${text}` : "";
  };
  const withoutMark = (search) => {
    const query = new URLSearchParams(search);
    query.delete("after");
    return query.toString();
  };
  let shown = withoutMark(location.search);
  let typed = false; // whether the current history entry was made by typing

  /* One at a time: each response goes into the card of the one before. */
  let going = Promise.resolve();
  function go(search, { push = true, state = null, again = false } = {}) {
    if (push && !again) note();
    if (push) history[again ? "replaceState" : "pushState"]({}, "", location.pathname + search);
    typed = false;
    arrive();
    toOpen.clear();
    shown = withoutMark(search);
    going = going.then(() => swap(search, push, state)).catch(() => {});
  }

  async function swap(search, push, state) {
    if (withoutMark(search) !== shown || !card()) return; // a newer request follows
    const asked = { target: "#pairs-card", swap: "outerHTML", source: document.body };
    await window.htmx.ajax("GET", card().dataset.pairs + search, asked);
    await new Promise((done) => setTimeout(done, window.htmx.config.defaultSettleDelay + 1)); // then htmx has processed its rows
    adopt();
    const head = card()?.getBoundingClientRect().top ?? 0;
    if (push && head < 0) card().scrollIntoView({ block: "start" });
    if (!push) revive(state);
    settle();
  }

  const isPlain = (event) => !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button);

  on("click", (event) => {
    const link = closest(event, '#pairs-card[data-pairs] a[href^="?"]');
    if (!link || !isPlain(event) || !window.htmx) return;
    event.preventDefault();
    if (link.rel) {
      list.failed = false;
      scrolled = true;
      load(link);
    } else go(searchOf(link.search));
  });
  on("submit", (event) => {
    if (!event.target.matches("#pairs-card[data-pairs] .pair-filter") || !window.htmx) return;
    event.preventDefault();
    go(searchOf(`?${new URLSearchParams(new FormData(event.target))}`));
  });
  on("change", (event) => {
    const form = closest(event, "#pairs-card[data-pairs] .pair-filter");
    if (!form || event.target.type === "search" || event.target.type === "checkbox") return;
    if (event.target.name === "sort" && form.elements.min) form.elements.min.value = ""; // a count is not a score
    form.requestSubmit();
  });

  /* The wallet filter searches while the reader types, in one history entry. The card is replaced meanwhile: newer text
     and the caret stay. */
  const TYPED_MS = 300;
  let typing = 0;
  function type(event) {
    if (!event.target.matches?.("#pairs-card[data-pairs] #pairs-wallet") || event.isComposing || !window.htmx) return;
    clearTimeout(typing);
    typing = setTimeout(() => {
      const field = $("#pairs-wallet");
      if (!field) return;
      go(searchOf(`?${new URLSearchParams(new FormData(field.form))}`), { again: typed });
      typed = true;
    }, TYPED_MS);
  }
  on("input", type);
  on("compositionend", type);
  let field = null;
  on("htmx:beforeSwap", () => {
    const old = $("#pairs-wallet");
    field = old && old === document.activeElement ? [old.value, old.selectionStart, old.selectionEnd] : null;
  });
  on("htmx:afterSwap", () => {
    const fresh = $("#pairs-wallet");
    if (!field || !fresh) return;
    const [value, ...caret] = field;
    field = null;
    fresh.value = value;
    fresh.focus({ preventScroll: true });
    fresh.setSelectionRange(...caret);
  });

  addEventListener("popstate", (event) => {
    if (event.state?.htmx || !card() || withoutMark(location.search) === shown) return;
    go(location.search, { push: false, state: event.state });
  });

  function say(text) {
    const live = $("#live");
    if (live) live.textContent = text;
  }

  /* Opened pairs: their tokens are marked in the token panel, which scrolls to the first of them where it scrolls. */
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  function mark(evidence) {
    const panel = $("#tokens-card");
    if (!panel) return;
    const starts = (evidence?.dataset.marks || "").split(" ").filter(Boolean);
    let first = null;
    for (const row of $$("tbody tr", panel)) {
      const mint = $("[data-mint]", row)?.dataset.mint || "";
      const isOne = starts.some((start) => mint.startsWith(start));
      row.classList.toggle("is-selected", isOne);
      if (isOne) first ??= row;
    }
    $(".tokens-mark", panel)?.remove();
    if (!first) return;
    const tag = Object.assign(document.createElement("span"), { className: "tag tag-accent tokens-mark" });
    tag.textContent = "Marked: in the open pair";
    $(".card-head .card-title", panel).after(tag);
    const box = $(".table-wrap", panel);
    if (box.scrollHeight <= box.clientHeight + 1) return;
    const top = first.offsetTop - ($("thead", box)?.offsetHeight || 0);
    box.scrollTo({ top, behavior: still.matches ? "auto" : "smooth" });
  }
  const openEvidence = () => $$("#pairs-card .pair-details[open] .evidence").at(-1);
  on("toggle", (event) => {
    const details = closest(event, ".pair-details");
    if (!details || event.target !== details) return;
    mark(details.open ? $(".evidence", details) || openEvidence() : openEvidence());
    if (!details.open) settle();
    note(); // at once: a history entry written while the page unloads for a reload is sometimes lost
  }, true);

  /* Another page of tokens: the focus moves from the followed link to the one of the same name, or its partner. */
  let followed = "";
  on("htmx:beforeSwap", (event) => {
    const tokens = event.detail.target.closest?.(".pair-tokens");
    followed = tokens?.contains(document.activeElement) ? document.activeElement.rel || "" : "";
  });
  on("htmx:afterSettle", (event) => {
    adopt();
    restore();
    const evidence = event.target.closest?.(".evidence") || $(".evidence", event.target);
    if (evidence?.closest("#pairs-card")) mark(evidence);
    if (!followed || !evidence) return;
    const link = $(`.pair-tokens a[rel="${followed}"]`, evidence) || $(".pair-tokens .pager a", evidence);
    link?.focus({ preventScroll: true });
    followed = "";
  });

  /* The popover of a score: on hover after a delay, on focus, on click or tap; Escape closes it and the focus stays. One
     element for all scores, placed after its button so that Tab enters it, in the top layer so that nothing clips it. */
  const HOVER_MS = 200;
  const KEPT = 200;
  const answers = new Map();
  let popover = null;
  let button = null;
  let pinned = false;
  let timer = 0;

  function upgrade(...roots) {
    for (const root of roots) {
      for (const link of $$(".score-button", root)) {
        link.setAttribute("role", "button");
        link.setAttribute("aria-expanded", "false");
      }
    }
  }

  function ask(link) {
    const [path] = link.href.split("?");
    const address = `${path}/contributions?score=${link.dataset.score}`;
    if (!answers.has(address)) {
      if (answers.size >= KEPT) answers.delete(answers.keys().next().value);
      const answer = fetch(address, { headers: { "HX-Request": "true", "HX-Target": "shares" } })
        .then((found) => (found.ok ? found.text() : Promise.reject(new Error(String(found.status)))));
      answer.catch(() => answers.delete(address));
      answers.set(address, answer);
    }
    return answers.get(address);
  }

  async function show(link, pin = false) {
    if (link !== button) hide();
    pinned = pin;
    if (link === button) return;
    button = link;
    let text = '<p class="popover-body">This could not be loaded.</p>';
    try { text = await ask(link); } catch { /* the words above say so */ }
    if (button !== link || !link.isConnected) return;
    popover = document.createElement("div");
    popover.id = "score-popover";
    popover.className = "popover score-popover";
    popover.setAttribute("popover", "manual");
    popover.setAttribute("role", "group");
    popover.setAttribute("aria-label", link.getAttribute("aria-label"));
    popover.innerHTML = text;
    link.after(popover);
    popover.showPopover();
    link.setAttribute("aria-expanded", "true");
    link.setAttribute("aria-controls", popover.id);
    link.setAttribute("aria-describedby", popover.id);
    place();
  }

  function place() {
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = popover;
    const below = at.bottom + 6 + height <= innerHeight || at.top < height + 6;
    popover.style.left = `${Math.max(12, Math.min(at.left - 40, document.documentElement.clientWidth - width - 12))}px`;
    popover.style.top = `${below ? at.bottom + 6 : at.top - height - 6}px`;
    if (at.bottom < 0 || at.top > innerHeight) hide();
  }

  function hide() {
    clearTimeout(timer);
    if (popover) {
      const inside = popover.contains(document.activeElement);
      button.setAttribute("aria-expanded", "false");
      button.removeAttribute("aria-controls");
      button.removeAttribute("aria-describedby");
      const old = popover;
      popover = null;
      if (inside) button.focus({ preventScroll: true });
      old.remove();
    }
    button = null;
    pinned = false;
  }

  const part = (element) => element?.closest?.(".score-button, .score-popover");
  on("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const over = part(event.target);
    clearTimeout(timer);
    if (over?.matches(".score-button") && over !== button) {
      timer = setTimeout(() => show(over), HOVER_MS);
      ask(over).catch(() => {});
    } else if (!over && button && !pinned && !button.matches(":focus-visible")) timer = setTimeout(hide, HOVER_MS);
  });
  on("focusin", (event) => {
    const now = part(event.target);
    clearTimeout(timer);
    if (now?.matches(".score-button:focus-visible") && now !== dismissed) timer = setTimeout(() => show(now), HOVER_MS);
    else if (!now && button) hide();
    dismissed = null;
  });
  on("click", (event) => {
    const now = part(event.target);
    if (!now?.matches(".score-button")) {
      if (!now && button) hide();
      return;
    }
    if (!isPlain(event)) return;
    event.preventDefault();
    if (now === button && pinned) hide();
    else show(now, true);
  });
  let dismissed = null;
  on("keydown", (event) => {
    if (event.key === "Escape" && button) {
      dismissed = button;
      hide();
      event.stopPropagation();
    }
    if (event.key === " " && closest(event, ".score-button")) {
      event.preventDefault();
      event.target.click();
    }
  }, true);

  /* Begin. */
  function begin() {
    adopt();
    endless = Boolean(card()?.matches("[data-endless]"));
    if (list && history.state && "anchor" in history.state) history.scrollRestoration = "manual";
    revive(history.state);
    settle();
  }
  addEventListener("pagehide", () => {
    if (!list) return;
    note();
    history.scrollRestoration = "manual";
  });
  // After htmx, which does not see a row open before it has processed the page.
  if (document.readyState === "complete") begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();

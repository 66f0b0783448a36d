"""JavaScript that the tests have a page evaluate: what is cut off, where focus does not show, what moves."""

NAMED = """
const named = (element) => {
  const name = element.id ? `#${element.id}` : [...element.classList].map((one) => `.${one}`).join("");
  return `<${element.localName}${name}> ${String(element.textContent || element.value || "").trim().slice(0, 40)}`;
};
const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
const hiddenForEyes = (element) => Boolean(element.closest(".visually-hidden, [hidden], .sprite, datalist"));
"""

# Text that its own box, or a box around it, hides; boxes that scroll may hide, and an ellipsis is meant.
CUT_OFF = f"""() => {{ {NAMED}
  const found = [];
  const width = document.documentElement.clientWidth;
  const scrolls = (style) => /auto|scroll/.test(style.overflowX);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {{
    const element = text.parentElement;
    if (!text.data.trim() || element.closest("svg, option, script, noscript, textarea, template")) continue;
    if (!visible(element) || hiddenForEyes(element) || getComputedStyle(element).clipPath === "inset(50%)") continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 0.5);
    if (!boxes.length) continue;
    const right = Math.max(...boxes.map((box) => box.right));
    const left = Math.min(...boxes.map((box) => box.left));
    const bottom = Math.max(...boxes.map((box) => box.bottom));
    let cut = "";
    let meant = false;
    for (let box = element; box && box !== document.body; box = box.parentElement) {{
      const style = getComputedStyle(box);
      if (scrolls(style) || style.textOverflow === "ellipsis") {{
        meant = box.getBoundingClientRect().right <= width + 1.5;
        cut = "";
        break;
      }}
      if (style.position === "fixed") break;
      const edge = box.getBoundingClientRect();
      if (style.overflowX === "hidden" || style.overflowX === "clip") {{
        if (right > edge.right + 1.5 || left < edge.left - 1.5) cut = `cut by ${{named(box)}}`;
      }}
      if ((style.overflowY === "hidden" || style.overflowY === "clip") && bottom > edge.bottom + 2.5) {{
        cut = `cut below by ${{named(box)}}`;
      }}
      if (cut) break;
    }}
    const inScroller = (() => {{
      for (let box = element; box; box = box.parentElement) if (scrolls(getComputedStyle(box))) return true;
      return false;
    }})();
    if (!cut && !meant && !inScroller && (right > width + 1.5 || left < -1.5)) cut = "outside of the page";
    if (cut) found.push(`${{named(element)}}: ${{cut}}`);
  }}
  return [...new Set(found)].slice(0, 8);
}}"""

# WCAG 1.4.12: what nobody may be kept from setting. By the object model, since the policy allows no style in the page.
SPACE_OUT = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    * { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
    p { margin-bottom: 2em !important; }`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""

# Focus each element in turn: something about it, its label or its box must change so that one sees it, and nothing
# may lie over it. A ring has two pixels.
UNSEEN_FOCUS = f"""async () => {{ {NAMED}
  const found = [];
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("*, ::before, ::after {{ transition: none !important; animation: none !important; }}");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const selector = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  const looks = (element) => {{
    const style = getComputedStyle(element);
    const ring = parseFloat(style.outlineWidth) >= 1 && style.outlineStyle !== "none" ? style.outline : "";
    return `${{ring}}|${{style.boxShadow}}|${{style.borderColor}}|${{style.stroke}}|${{style.strokeWidth}}`;
  }};
  const shown = (element) => {{
    const around = [element, element.parentElement, element.nextElementSibling, ...(element.labels || []),
      ...(element.closest("svg") ? element.children : []),
      element.closest(".compact-field, .drop, .lined, .chip, .select, .search, label")];
    return [...new Set(around.filter(Boolean))];
  }};
  const all = [...document.querySelectorAll(selector)].filter((one) => {{
    if (one.matches("[tabindex='-1'], :disabled") || !visible(one)) return false;
    const closed = one.closest("details:not([open])");
    if (!closed) return true;
    const outer = closed.parentElement.closest("details:not([open])");
    return one.localName === "summary" && one.parentElement === closed && !outer;
  }});
  const some = all.length > 160 ? [...all.slice(0, 110), ...all.slice(-50)] : all;
  for (const element of some) {{
    document.activeElement?.blur();
    const before = shown(element).map(looks);
    element.focus({{ focusVisible: true }});
    if (document.activeElement !== element) {{ found.push(`${{named(element)}}: cannot take focus`); continue; }}
    const after = shown(element).map(looks);
    if (before.every((one, index) => one === after[index])) found.push(`${{named(element)}}: focus does not show`);
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) {{
      if (!element.matches(".visually-hidden")) found.push(`${{named(element)}}: has no size`);
      continue;
    }}
    const at = [[.5, .5], [.1, .5], [.9, .5], [.5, .15], [.5, .85]].map(([x, y]) =>
      document.elementFromPoint(box.left + box.width * x, box.top + box.height * y));
    const labels = [...(element.labels || [])];
    const mine = (top) => top &&
      (element.contains(top) || top.contains(element) || labels.some((one) => one.contains(top)));
    const over = at[0] ? named(at[0]) : "the edge of the window";
    if (!at.some(mine)) found.push(`${{named(element)}}: hidden while it has focus, by ${{over}}`);
  }}
  return [...new Set(found)].slice(0, 12);
}}"""

# Under reduced motion nothing lasts longer than ten milliseconds.
MOVING = f"""() => {{ {NAMED}
  const found = [];
  const ms = (one) => parseFloat(one) * (one.trim().endsWith("ms") ? 1 : 1000);
  const longest = (text) => Math.max(...text.split(",").map(ms));
  for (const element of document.querySelectorAll("*")) {{
    for (const part of [null, "::before", "::after"]) {{
      const style = getComputedStyle(element, part);
      const name = `${{named(element)}}${{part || ""}}`;
      if (longest(style.transitionDuration) > 10) found.push(`${{name}}: transition ${{style.transitionDuration}}`);
      const animated = style.animationName !== "none" && longest(style.animationDuration) > 10;
      if (animated) found.push(`${{name}}: animation ${{style.animationName}}`);
    }}
    if (getComputedStyle(element).scrollBehavior === "smooth") found.push(`${{named(element)}}: scrolls smoothly`);
  }}
  for (const one of document.getAnimations()) {{
    const long = one.effect.getComputedTiming().activeDuration > 10;
    if (long) found.push(`an animation of ${{one.effect.target?.localName}} runs`);
  }}
  return [...new Set(found)].slice(0, 12);
}}"""

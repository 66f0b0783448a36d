"""What the HTML standard allows, as far as our pages could use it: elements, attributes and what may be inside."""

from __future__ import annotations


def words(text: str) -> set[str]:
    return set(text.split())


GLOBAL = words(
    "accesskey autocapitalize autofocus class contenteditable dir draggable enterkeyhint hidden id inert "
    "inputmode is itemid itemprop itemref itemscope itemtype lang nonce popover role slot spellcheck style tabindex "
    "title translate"
)
INPUT = (
    "accept alt autocomplete checked dirname disabled form formaction formenctype formmethod formnovalidate formtarget "
    "height list max maxlength min minlength multiple name pattern placeholder popovertarget popovertargetaction "
    "readonly required size src step type value width"
)
ATTRIBUTES = {
    name: words(attributes)
    for name, attributes in {
        "html": "",
        "head": "",
        "title": "",
        "base": "href target",
        "link": "as crossorigin href hreflang imagesizes imagesrcset integrity media referrerpolicy rel sizes type",
        "meta": "charset content http-equiv media name",
        "script": "async crossorigin defer integrity nomodule referrerpolicy src type",
        "noscript": "",
        "template": "",
        "body": "",
        "article": "",
        "section": "",
        "nav": "",
        "aside": "",
        "header": "",
        "footer": "",
        "main": "",
        "search": "",
        "h1": "",
        "h2": "",
        "h3": "",
        "h4": "",
        "hgroup": "",
        "address": "",
        "p": "",
        "hr": "",
        "pre": "",
        "blockquote": "cite",
        "ol": "reversed start type",
        "ul": "",
        "li": "value",
        "dl": "",
        "dt": "",
        "dd": "",
        "figure": "",
        "figcaption": "",
        "div": "",
        "a": "download href hreflang ping referrerpolicy rel target type",
        "em": "",
        "strong": "",
        "small": "",
        "s": "",
        "cite": "",
        "q": "cite",
        "abbr": "",
        "data": "value",
        "time": "datetime",
        "code": "",
        "var": "",
        "samp": "",
        "kbd": "",
        "sub": "",
        "sup": "",
        "i": "",
        "b": "",
        "u": "",
        "mark": "",
        "bdi": "",
        "bdo": "",
        "span": "",
        "br": "",
        "wbr": "",
        "img": "alt crossorigin decoding fetchpriority height loading referrerpolicy sizes src srcset usemap width",
        "table": "",
        "caption": "",
        "colgroup": "span",
        "col": "span",
        "tbody": "",
        "thead": "",
        "tfoot": "",
        "tr": "",
        "td": "colspan headers rowspan",
        "th": "abbr colspan headers rowspan scope",
        "form": "accept-charset action autocomplete enctype method name novalidate rel target",
        "label": "for",
        "input": INPUT,
        "button": "disabled form formaction formenctype formmethod formnovalidate formtarget name popovertarget "
        "popovertargetaction type value",
        "select": "autocomplete disabled form multiple name required size",
        "datalist": "",
        "optgroup": "disabled label",
        "option": "disabled label selected value",
        "textarea": "autocomplete cols dirname disabled form maxlength minlength name placeholder readonly required "
        "rows wrap",
        "output": "for form name",
        "progress": "max value",
        "meter": "high low max min optimum value",
        "fieldset": "disabled form name",
        "legend": "",
        "details": "name open",
        "summary": "",
        "dialog": "open",
    }.items()
}
SVG = words(
    "svg g defs symbol use title desc path circle ellipse rect line polyline polygon text tspan clippath "
    "clipPath mask pattern linearGradient lineargradient radialGradient radialgradient stop a"
)
INLINE_PARENTS = words(
    "p h1 h2 h3 h4 pre em strong small s cite q abbr data time code var samp kbd sub sup i b u mark bdi bdo "
    "span label button output progress meter"
)
"""What holds phrasing content only; summary, legend and dt have rules of their own."""
BLOCKS = words(
    "article section nav aside header footer main search h1 h2 h3 h4 hgroup address p hr pre blockquote ol ul "
    "li dl dt dd figure figcaption div table caption thead tbody tr td th form fieldset legend details "
    "summary dialog"
)
CHILDREN = {
    "ul": {"li"},
    "ol": {"li"},
    "dl": {"dt", "dd", "div"},
    "table": {"caption", "colgroup", "thead", "tbody", "tfoot", "tr"},
    "thead": {"tr"},
    "tbody": {"tr"},
    "tfoot": {"tr"},
    "tr": {"td", "th"},
    "colgroup": {"col"},
    "select": {"option", "optgroup", "hr"},
    "optgroup": {"option"},
    "datalist": {"option"},
    "hgroup": {"h1", "h2", "h3", "h4", "p"},
}
LABELLED = {"input", "select", "textarea", "button", "meter", "progress"}
ANYWHERE = {"script", "template"}
PARENTS = {
    "li": {"ul", "ol"},
    "dt": {"dl", "div"},
    "dd": {"dl", "div"},
    "summary": {"details"},
    "legend": {"fieldset"},
    "figcaption": {"figure"},
    "caption": {"table"},
    "option": {"select", "datalist", "optgroup"},
}
FIRST = {"summary": "details", "legend": "fieldset", "caption": "table"}
"""What must be the first child of its parent."""
REFERENCES = {
    "for": False,
    "form": False,
    "list": False,
    "popovertarget": False,
    "headers": True,
    "aria-labelledby": True,
    "aria-describedby": True,
    "aria-controls": True,
    "aria-owns": True,
    "aria-details": True,
    "aria-errormessage": True,
    "aria-activedescendant": False,
    "aria-flowto": True,
}
"""Attributes that name ids: whether they may name several."""
ARIA = words(
    "activedescendant atomic autocomplete braillelabel brailleroledescription busy checked colcount colindex "
    "colspan controls current describedby description details disabled dropeffect errormessage expanded "
    "flowto grabbed haspopup hidden invalid keyshortcuts label labelledby level live modal multiline "
    "multiselectable orientation owns placeholder posinset pressed readonly relevant required roledescription "
    "rowcount rowindex rowspan selected setsize sort valuemax valuemin valuenow valuetext"
)
ROLES = words(
    "alert alertdialog application article banner button cell checkbox columnheader combobox complementary "
    "contentinfo definition dialog document feed figure form grid gridcell group heading img link list "
    "listbox listitem log main marquee math menu menubar menuitem menuitemcheckbox menuitemradio meter "
    "navigation none note option presentation progressbar radio radiogroup region row rowgroup rowheader "
    "scrollbar search searchbox separator slider spinbutton status switch tab table tablist tabpanel term "
    "textbox timer toolbar tooltip tree treegrid treeitem"
)
WORDS = {
    ("button", "type"): {"submit", "button", "reset"},
    ("th", "scope"): {"row", "col", "rowgroup", "colgroup"},
    ("form", "method"): {"get", "post", "dialog"},
    ("*", "aria-current"): {"page", "step", "location", "date", "time", "true", "false"},
    ("*", "aria-sort"): {"ascending", "descending", "none", "other"},
    ("*", "aria-live"): {"polite", "assertive", "off"},
    ("*", "aria-hidden"): {"true", "false"},
    ("*", "aria-expanded"): {"true", "false"},
    ("*", "aria-pressed"): {"true", "false", "mixed"},
    ("*", "aria-busy"): {"true", "false"},
    ("*", "aria-haspopup"): {"true", "false", "menu", "listbox", "tree", "grid", "dialog"},
    ("*", "popover"): {"", "auto", "manual", "hint"},
    ("*", "dir"): {"ltr", "rtl", "auto"},
    ("input", "type"): words(
        "hidden text search tel url email password date month week time datetime-local number range color "
        "checkbox radio file submit image reset button"
    ),
}
NUMBERS = words("rowspan colspan size maxlength minlength rows cols height width aria-level aria-posinset")
REQUIRED = {"img": {"src", "alt"}, "optgroup": {"label"}, "link": {"rel", "href"}, "html": {"lang"}, "script": {"src"}}

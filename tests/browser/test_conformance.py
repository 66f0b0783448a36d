"""The check of HTML finds what is wrong, and nothing in what is right."""

import pytest

from tests.browser.conformance import PAGE, inline, problems

WRONG = {
    '<a href="/x"><button>y</button></a>': "control inside a control",
    '<p id="a"></p><p id="a"></p>': "is given 2 times",
    '<label for="zz">x</label>': "names 'zz', which is not there",
    '<div foo="1"></div>': "no attribute foo",
    "<details>x</details>": "does not begin with its summary",
    "<span><div>x</div></span>": "is a block inside <span>",
    '<a href="#gone">x</a>': "which is not there",
    "<p>x</div>": "line 1",
}


@pytest.mark.parametrize(("text", "fault"), WRONG.items())
def test_what_is_wrong_is_found(text: str, fault: str) -> None:
    found = problems(PAGE.format(text))
    assert any(fault in one for one in found), found


def test_what_is_right_passes() -> None:
    text = """<main id="m"><h1>A</h1><dl><div><dt>x</dt><dd>y</dd></div></dl>
    <ul><li><a href="#m" hx-get="/x">z</a></li></ul><details><summary><h2>s</h2></summary><p>t</p></details>
    <label>n <input name="n"></label><label for="o">o</label><input id="o" name="o">
    <table><caption>c</caption><thead><tr><th scope="col">h</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>
    <svg viewBox="0 0 1 1" aria-hidden="true"><path d=""></path></svg></main>"""
    assert problems(PAGE.format(text)) == []
    assert inline(PAGE.format(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        '<p style="color: red">x</p>',
        "<style>p { color: red }</style>",
        "<script>go()</script>",
        '<p hx-on:click="go()">x</p>',
        '<a href="javascript:go()">x</a>',
    ],
)
def test_what_the_policy_forbids_is_found(text: str) -> None:
    assert inline(PAGE.format(text)) != []

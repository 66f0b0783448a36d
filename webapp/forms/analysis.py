"""A new analysis as it is requested: the wallets and the parameters.

JSON is read strictly (a wrong type or an unknown key is refused at once); a form keeps what was typed, and all its
problems are shown together.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Required, TypedDict, cast

from flask import request
from msgspec import Meta

from tasks.errors import InputError
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.storage import tokens
from tasks.storage.analyses import Parameters
from webapp.errors import Problem
from webapp.forms.parameters import READERS, Changes, FormProblem, Label, json_body, read_field, sent_mints
from webapp.intake import encoding, rows

DEFAULTS: Mapping[str, Any] = {
    "label": "",
    "window_days": None,
    "timing_window_s": 60,
    "tau": 0.5,
    "exclude": tuple(DEFAULT_EXCLUDED),
}
NewWallet = Annotated[
    Any,
    Meta(
        description="An address, or an object with `address` and optionally `label`; anything else is rejected.",
        examples=[{"address": "7C3948k27F6r9qe1HhDyxxRgy9rUUNE7P35kgoPSQqJC", "label": "treasury"}],
    ),
]


class NewAnalysis(Changes, total=False):
    """The wallets and parameters of a new analysis; at least two of the wallets must be valid."""

    wallets: Required[list[NewWallet]]
    label: Label | None


class Form(TypedDict):
    """The fields of the form, as typed."""

    addresses: str
    label: str
    window_days: str
    timing_window_s: str
    tau: str
    exclude: list[str]
    idempotency_key: str


@dataclass
class Draft:
    """A list to analyse: its rows, the parameters, what was typed, and what is wrong with them."""

    intake: rows.Intake
    label: str
    parameters: Parameters
    form: Form
    problems: list[FormProblem] = field(default_factory=list)
    sent_key: str | None = None

    @property
    def content(self) -> str:
        """The request as one text: equal for the same wallets, labels and parameters only."""
        wallets = [(row.address, row.label) for row in self.intake.accepted]
        return json.dumps([wallets, {**asdict(self.parameters), "label": self.label}], sort_keys=True)


def blank_form() -> Form:
    """Return the form before anything is typed."""
    return {
        "addresses": "",
        "label": "",
        "window_days": "",
        "timing_window_s": str(DEFAULTS["timing_window_s"]),
        "tau": str(DEFAULTS["tau"]),
        "exclude": list(DEFAULT_EXCLUDED),
        "idempotency_key": secrets.token_hex(16),
    }


def read_draft(max_wallets: int) -> Draft:
    """Read the wallets and parameters of a request, from JSON or from a form. Raises Problem for unusable JSON."""
    return _read_json(max_wallets) if request.mimetype == "application/json" else _read_form(max_wallets)


def _parameters(values: Mapping[str, Any]) -> Parameters:
    return Parameters(**{key: value for key, value in values.items() if key != "label"})


def _read_json(max_wallets: int) -> Draft:
    body = json_body(NewAnalysis.__annotations__)
    if "wallets" not in body:
        raise Problem(400, "missing_key", "The key “wallets” is missing.", [{"key": "wallets"}])
    found = rows.read_json_wallets(body["wallets"], most=max_wallets, known_mints=tokens.known_mints)
    values = {key: READERS[key](body[key]) if key in body else default for key, default in DEFAULTS.items()}
    sent_key = request.headers.get("Idempotency-Key")
    return Draft(found, values["label"], _parameters(values), blank_form(), sent_key=sent_key)


def _read_form(max_wallets: int) -> Draft:
    form = _typed_form()
    problems: list[FormProblem] = []
    try:
        form["addresses"] = _with_file(form["addresses"])
    except InputError as error:
        problems.append({"message": error.reason, "field": "file", "line": error.line})
    values = {key: _form_value(key, problems) for key in DEFAULTS}
    found = rows.read(form["addresses"], most=max_wallets, known_mints=tokens.known_mints)
    sent_key = request.headers.get("Idempotency-Key") or request.form.get("idempotency_key")
    return Draft(found, values["label"], _parameters(values), form, problems, sent_key)


def _typed_form() -> Form:
    """Return what was typed; what was not sent has its default."""
    sent = {key: request.form.get(key, value) for key, value in blank_form().items()}
    sent["exclude"] = sent_mints() if "exclude" in request.form else list(DEFAULT_EXCLUDED)
    return cast(Form, sent)


def _with_file(addresses: str) -> str:
    """Return the pasted list and, after it, the uploaded file's. Raises InputError for a file that is no text."""
    upload = request.files.get("file")
    text = encoding.decode(upload.read()) if upload else ""
    return f"{addresses.rstrip()}\n{text}" if addresses.strip() and text else text or addresses


def _form_value(key: str, problems: list[FormProblem]) -> Any:
    """Read one parameter of a form; for an invalid one a problem is added and the default returned."""
    if key not in request.form:
        return DEFAULTS[key]
    try:
        return read_field(key, DEFAULTS[key])
    except Problem as problem:
        problems.append({"message": str(problem), "field": key, "line": None})
        return DEFAULTS[key]

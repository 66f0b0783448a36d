"""The parameters of a new run of an analysis; those that are not sent stay as they were."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from flask import request

from tasks.pipeline import start
from tasks.storage.analyses import Parameters
from tasks.storage.models.analyses import Analysis
from webapp.errors import Problem
from webapp.forms.parameters import READERS, Changes, json_body, read_field, sent_mints

KEYS = ("tau", "timing_window_s", "window_days", "exclude")
TAUS = (("0.3", "0.30"), ("0.4", "0.40"), ("0.5", "0.50"), ("0.6", "0.60"), ("0.7", "0.70"), ("0.8", "0.80"))


class RerunProblem(TypedDict):
    """What is wrong with a field of the form."""

    message: str
    field: str


class RerunForm(TypedDict):
    """The fields of the form, as typed."""

    tau: str
    timing_window_s: str
    window_days: str
    exclude: list[str]
    idempotency_key: str


@dataclass
class Change:
    """The parameters of a new run, what was typed, and what is wrong with it."""

    parameters: Parameters
    form: RerunForm
    problems: list[RerunProblem] = field(default_factory=list)
    sent_key: str | None = None

    @property
    def content(self) -> str:
        """The request as one text."""
        return json.dumps(["rerun", asdict(self.parameters)], sort_keys=True)


def form_of(chosen: Parameters) -> RerunForm:
    """Return the form that stands for parameters."""
    return {
        "tau": f"{chosen.tau:g}",
        "timing_window_s": str(chosen.timing_window_s),
        "window_days": "" if chosen.window_days is None else f"{chosen.window_days:g}",
        "exclude": list(chosen.exclude),
        "idempotency_key": secrets.token_hex(16),
    }


def read(analysis: Analysis) -> Change:
    """Read the request, from JSON or from a form. Raises Problem for unusable JSON."""
    chosen = start.parameters_of(analysis)
    return _read_json(chosen) if request.mimetype == "application/json" else _read_form(chosen)


def _read_json(chosen: Parameters) -> Change:
    body = json_body(Changes.__annotations__)
    values = {key: READERS[key](value) for key, value in body.items()}
    sent_key = request.headers.get("Idempotency-Key")
    return Change(Parameters(**{**asdict(chosen), **values}), form_of(chosen), sent_key=sent_key)


def _read_form(chosen: Parameters) -> Change:
    """Read the form; all problems are shown together, with what was typed."""
    values: dict[str, Any] = asdict(chosen)
    form = form_of(chosen)
    problems: list[RerunProblem] = []
    for key in KEYS:
        if key not in request.form:
            continue
        form[key] = sent_mints() if key == "exclude" else request.form[key].strip()  # type: ignore[literal-required]
        try:
            # An empty window is all history; any other empty field leaves the parameter as it is.
            values[key] = read_field(key, None if key == "window_days" else values[key])
        except Problem as problem:
            problems.append({"message": str(problem), "field": key})
    sent_key = request.headers.get("Idempotency-Key") or request.form.get("idempotency_key")
    return Change(Parameters(**values), form, problems, sent_key)

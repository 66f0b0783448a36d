"""What a request to run an analysis again asks for: its parameters, of which those not sent stay as they were."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flask import request

from tasks.pipeline import start
from tasks.storage.analyses import Parameters
from tasks.storage.models.analyses import Analysis
from webapp.errors import Problem
from webapp.forms.analysis import READERS, json_body, sent_mints, to_number

KEYS = ("tau", "timing_window_s", "window_days", "exclude")
TAUS = (("0.3", "0.30"), ("0.4", "0.40"), ("0.5", "0.50"), ("0.6", "0.60"), ("0.7", "0.70"), ("0.8", "0.80"))


@dataclass
class Change:
    """The parameters of a new run. `form` is what was typed, a problem is {"message", "field"}."""

    values: dict[str, Any]
    form: dict[str, Any]
    problems: list[dict[str, Any]] = field(default_factory=list)
    sent_key: str | None = None

    @property
    def parameters(self) -> Parameters:
        return Parameters(**self.values)

    @property
    def content(self) -> str:
        """What would be run again, as one text."""
        return json.dumps(["rerun", self.values], sort_keys=True)


def form_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form that stands for parameters."""
    days = values["window_days"]
    return {
        "tau": f"{values['tau']:g}",
        "timing_window_s": str(values["timing_window_s"]),
        "window_days": "" if days is None else f"{days:g}",
        "exclude": list(values["exclude"]),
        "idempotency_key": secrets.token_hex(16),
    }


def current(analysis: Analysis) -> dict[str, Any]:
    """Return the parameters of an analysis as values."""
    return asdict(start.parameters_of(analysis))


def read(analysis: Analysis) -> Change:
    """Read the request, from JSON or from a form. Raises Problem for unusable JSON."""
    return _read_json(analysis) if request.mimetype == "application/json" else _read_form(analysis)


def _read_json(analysis: Analysis) -> Change:
    body = json_body()
    unknown = [key for key in body if key not in KEYS]
    if unknown:
        raise Problem(400, "unknown_key", f"There is no key “{unknown[0][:60]}”.", [{"key": key} for key in unknown])
    values = current(analysis) | {key: READERS[key](value) for key, value in body.items()}
    return Change(values, {}, sent_key=request.headers.get("Idempotency-Key"))


def _read_form(analysis: Analysis) -> Change:
    """Read the form; what is wrong with it is told together, and what was typed is shown again."""
    values = current(analysis)
    change = Change(values, form_of(values))
    for key in KEYS:
        if key not in request.form:
            continue
        change.form[key] = sent_mints() if key == "exclude" else request.form[key].strip()
        try:
            values[key] = _form_value(key, values[key])
        except Problem as problem:
            change.problems.append({"message": str(problem), "field": key})
    change.sent_key = request.headers.get("Idempotency-Key") or request.form.get("idempotency_key")
    return change


def _form_value(key: str, unchanged: Any) -> Any:
    """Read one field; an empty window is all history, any other empty field leaves things as they are."""
    if key == "exclude":
        return READERS[key](sent_mints())
    return READERS[key](to_number(request.form[key].strip(), None if key == "window_days" else unchanged))

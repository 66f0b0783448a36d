"""What a request asks for: a list of wallets with its parameters, or which page of a list.

JSON is read strictly (a wrong type or an unknown key is refused at once); a form keeps what was typed, and all its
problems are told together.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from tasks.errors import InputError
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.storage import tokens
from tasks.storage.analyses import Parameters
from webapp.errors import Problem
from webapp.intake import encoding, rows
from webapp.intake.addresses import INVISIBLE, read_address

LABEL_AT_MOST = 120
WINDOW_DAYS_AT_MOST = 3_650
TIMING_WINDOW_S_AT_MOST = 86_400
EXCLUDE_AT_MOST = 1_000
MIN_AT_MOST = 1e9
JSON_KEYS = ("wallets", "label", "window_days", "timing_window_s", "tau", "exclude")
TIMING_WINDOWS = (("10", "10 s"), ("60", "1 min"), ("300", "5 min"), ("3600", "1 h"))
WINDOWS = (("", "All history"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))
DEFAULTS: Mapping[str, Any] = {
    "label": "",
    "window_days": None,
    "timing_window_s": 60,
    "tau": 0.5,
    "exclude": tuple(DEFAULT_EXCLUDED),
}


@dataclass
class Draft:
    """A list that somebody wants analysed: its rows, the parameters, and what is wrong with them.

    `form` holds what was typed, to be shown again. A problem is {"message", "field", "line"}.
    """

    intake: rows.Intake
    values: dict[str, Any]
    form: dict[str, Any]
    problems: list[dict[str, Any]] = field(default_factory=list)
    sent_key: str | None = None

    @property
    def label(self) -> str:
        return str(self.values["label"])

    @property
    def parameters(self) -> Parameters:
        return Parameters(**{key: value for key, value in self.values.items() if key != "label"})

    @property
    def content(self) -> str:
        """What would be analysed, as one text: equal for the same wallets, labels and parameters only."""
        return json.dumps([[(row.address, row.label) for row in self.intake.accepted], self.values], sort_keys=True)


def blank_form() -> dict[str, Any]:
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


# JSON -----------------------------------------------------------------------------------------------------------


def _read_json(max_wallets: int) -> Draft:
    body = json_body()
    unknown = [key for key in body if key not in JSON_KEYS]
    if unknown:
        raise Problem(400, "unknown_key", f"There is no key “{unknown[0][:60]}”.", [{"key": key} for key in unknown])
    if "wallets" not in body:
        raise Problem(400, "missing_key", "The key “wallets” is missing.", [{"key": "wallets"}])
    found = rows.read_json_wallets(body.pop("wallets"), most=max_wallets, known_mints=tokens.known_mints)
    values = {key: READERS[key](body[key]) if key in body else default for key, default in DEFAULTS.items()}
    return Draft(found, values, {}, sent_key=request.headers.get("Idempotency-Key"))


def json_body() -> dict[str, Any]:
    """Return the JSON object that was sent. Raises Problem when it is none."""
    sent = request.get_data()
    if len(sent) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge  # sent in chunks, without a length; werkzeug cuts it off in silence
    try:
        body = orjson.loads(sent)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "invalid_json", f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object.")
    return body


def _wrong_type(key: str, wanted: str) -> Problem:
    return Problem(400, "wrong_type", f"“{key}” must be {wanted}.", [{"key": key}])


def _out_of_range(key: str, wanted: str) -> Problem:
    return Problem(422, "invalid_input", f"“{key}” must be {wanted}.", [{"key": key, "reason": f"Must be {wanted}."}])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _window_days(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value):
        raise _wrong_type("window_days", "a number of days, or null for all history")
    if not 0 < value <= WINDOW_DAYS_AT_MOST:  # which is false of what is no number, and exact for any integer
        raise _out_of_range("window_days", f"more than 0 and at most {WINDOW_DAYS_AT_MOST:,}")
    return float(value)


def _timing_window_s(value: Any) -> int:
    if not is_number(value) or value % 1 != 0:  # 60.0 is a whole number too, in JSON as elsewhere
        raise _wrong_type("timing_window_s", "a whole number of seconds")
    if not 1 <= value <= TIMING_WINDOW_S_AT_MOST:
        raise _out_of_range("timing_window_s", f"from 1 to {TIMING_WINDOW_S_AT_MOST:,}")
    return int(value)


def _tau(value: Any) -> float:
    if not is_number(value):
        raise _wrong_type("tau", "a number")
    if not 0 < value <= 1:
        raise _out_of_range("tau", "more than 0 and at most 1")
    return float(value)


def _label(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type("label", "text")
    kept = (char for char in INVISIBLE.sub("", value) if unicodedata.category(char)[0] != "C" or char.isspace())
    label = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    if len(label) > LABEL_AT_MOST:
        raise _out_of_range("label", f"at most {LABEL_AT_MOST} characters")
    return label


def _exclude(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(mint, str) for mint in value):
        raise _wrong_type("exclude", "a list of mint addresses")
    if len(value) > EXCLUDE_AT_MOST:
        raise _out_of_range("exclude", f"at most {EXCLUDE_AT_MOST:,} mints")
    readings = {mint: read_address(mint.strip()) for mint in value}
    wrong = [
        {"key": "exclude", "text": mint[:120], "reason": one.reason} for mint, one in readings.items() if one.reason
    ]
    if wrong:
        text, reason = wrong[0]["text"], wrong[0]["reason"]
        raise Problem(422, "invalid_input", f"“exclude” must hold mint addresses; “{text}” is none: {reason}", wrong)
    return tuple(dict.fromkeys(one.address for one in readings.values() if one.address))


READERS: Mapping[str, Callable[[Any], Any]] = {
    "label": _label,
    "window_days": _window_days,
    "timing_window_s": _timing_window_s,
    "tau": _tau,
    "exclude": _exclude,
}


# Forms ----------------------------------------------------------------------------------------------------------


def _read_form(max_wallets: int) -> Draft:
    form = typed_form()
    problems: list[dict[str, Any]] = []
    try:
        form["addresses"] = _with_file(form["addresses"])
    except InputError as error:
        problems.append({"message": error.reason, "field": "file", "line": error.line})
    values = {key: _form_value(key, problems) for key in DEFAULTS}
    found = rows.read(form["addresses"], most=max_wallets, known_mints=tokens.known_mints)
    sent_key = request.headers.get("Idempotency-Key") or request.form.get("idempotency_key")
    return Draft(found, values, form, problems, sent_key)


def typed_form() -> dict[str, Any]:
    """Return what was typed; what was not sent has its default."""
    sent = {key: request.form.get(key, value) for key, value in blank_form().items()}
    if "exclude" in request.form:
        sent["exclude"] = sent_mints()
    else:
        sent["exclude"] = list(DEFAULT_EXCLUDED)
    return sent


def _with_file(addresses: str) -> str:
    """Return the pasted list and, after it, the uploaded file's. Raises InputError for a file that is no text."""
    upload = request.files.get("file")
    text = encoding.decode(upload.read()) if upload else ""
    return f"{addresses.rstrip()}\n{text}" if addresses.strip() and text else text or addresses


def sent_mints() -> list[str]:
    """Return the mints of a form's fields `exclude`, one on each line or in a field of its own."""
    return [mint for text in request.form.getlist("exclude") for mint in re.split(r"[\s,;]+", text) if mint]


def _form_value(key: str, problems: list[dict[str, Any]]) -> Any:
    """Read one parameter of a form; what is wrong with it is added to the problems, and the default stands in."""
    if key not in request.form:
        return DEFAULTS[key]
    text = request.form[key].strip()
    try:
        if key == "exclude":
            return _exclude(sent_mints())
        return READERS[key](text if key == "label" else to_number(text, DEFAULTS[key]))
    except Problem as problem:
        problems.append({"message": str(problem), "field": key, "line": None})
        return DEFAULTS[key]


def to_number(text: str, default: Any) -> Any:
    """Return the number in a text, the default for none, and the text itself when it is no number."""
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text

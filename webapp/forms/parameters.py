"""The parameters of an analysis as requests carry them: their types, which JSON is read by, and texts of forms."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict

import msgspec
import orjson
from flask import request
from msgspec import Meta
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.errors import Problem
from webapp.fields import Mint
from webapp.intake.addresses import INVISIBLE, read_address

LABEL_AT_MOST = 120
WINDOW_DAYS_AT_MOST = 3_650
TIMING_WINDOW_S_AT_MOST = 86_400
EXCLUDE_AT_MOST = 1_000
TIMING_WINDOWS = (("10", "10 s"), ("60", "1 min"), ("300", "5 min"), ("3600", "1 h"))
WINDOWS = (("", "All history"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))

Label = Annotated[str, Meta(max_length=LABEL_AT_MOST)]
WindowDays = Annotated[float, Meta(gt=0, le=WINDOW_DAYS_AT_MOST)]
TimingWindow = Annotated[int, Meta(ge=1, le=TIMING_WINDOW_S_AT_MOST)]
Tau = Annotated[float, Meta(gt=0, le=1)]
Mints = Annotated[list[Mint], Meta(max_length=EXCLUDE_AT_MOST)]
Texts = Annotated[list[str], Meta(max_length=EXCLUDE_AT_MOST)]


class Changes(TypedDict, total=False):
    """The parameters of a new run; those that are not sent stay as they were."""

    window_days: WindowDays | None
    timing_window_s: TimingWindow
    tau: Tau
    exclude: Mints


class FormProblem(TypedDict):
    """What is wrong with a field of a form."""

    message: str
    field: str
    line: int | None


def json_body(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object that was sent. Raises Problem for anything else, and for a key that is not known."""
    sent = request.get_data()
    if len(sent) >= (request.max_content_length or math.inf):
        raise RequestEntityTooLarge  # sent in chunks, without a length; werkzeug cuts it off silently
    try:
        body = orjson.loads(sent)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "invalid_json", f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object.")
    unknown = [key for key in body if key not in keys]
    if unknown:
        raise Problem(400, "unknown_key", f"There is no key “{unknown[0][:60]}”.", [{"key": key} for key in unknown])
    return body


def _decoded(key: str, value: object, shape: Any, kind: str, bounds: str) -> Any:
    """Convert a value to a type. Raises Problem: 400 for a value of another kind, 422 for one beyond the bounds."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        if ", got `" in str(error):
            raise Problem(400, "wrong_type", f"“{key}” must be {kind}.", [{"key": key}]) from None
    details = [{"key": key, "reason": f"Must be {bounds}."}]
    raise Problem(422, "invalid_input", f"“{key}” must be {bounds}.", details)


def _window_days(value: object) -> float | None:
    if value is None:
        return None
    kind, bounds = "a number of days, or null for all history", f"more than 0 and at most {WINDOW_DAYS_AT_MOST:,}"
    return float(_decoded("window_days", value, WindowDays, kind, bounds))


def _timing_window_s(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 60.0 is a whole number in JSON
    kind, bounds = "a whole number of seconds", f"from 1 to {TIMING_WINDOW_S_AT_MOST:,}"
    return int(_decoded("timing_window_s", value, TimingWindow, kind, bounds))


def _tau(value: object) -> float:
    return float(_decoded("tau", value, Tau, "a number", "more than 0 and at most 1"))


def _label(value: object) -> str:
    """Return a label in one line, without control characters. Raises Problem."""
    text = "" if value is None else _decoded("label", value, str, "text", "")
    visible = (char for char in INVISIBLE.sub("", text) if unicodedata.category(char)[0] != "C" or char.isspace())
    label = " ".join(unicodedata.normalize("NFC", "".join(visible)).split())
    return str(_decoded("label", label, Label, "text", f"at most {LABEL_AT_MOST} characters"))


def _exclude(value: object) -> tuple[str, ...]:
    bounds = f"at most {EXCLUDE_AT_MOST:,} mints"
    sent = _decoded("exclude", value, Texts, "a list of mint addresses", bounds)
    readings = {mint: read_address(mint.strip()) for mint in sent}
    wrong = [
        {"key": "exclude", "text": mint[:120], "reason": one.reason} for mint, one in readings.items() if one.reason
    ]
    if wrong:
        text, reason = wrong[0]["text"], wrong[0]["reason"]
        raise Problem(422, "invalid_input", f"“exclude” must hold mint addresses; “{text}” is none: {reason}", wrong)
    return tuple(dict.fromkeys(one.address for one in readings.values() if one.address))


READERS: Mapping[str, Callable[[object], Any]] = {
    "label": _label,
    "window_days": _window_days,
    "timing_window_s": _timing_window_s,
    "tau": _tau,
    "exclude": _exclude,
}


# Forms ----------------------------------------------------------------------------------------------------------


def sent_mints() -> list[str]:
    """Return the mints of a form's fields `exclude`, one on each line or in a field of its own."""
    return [mint for text in request.form.getlist("exclude") for mint in re.split(r"[\s,;]+", text) if mint]


def read_field(key: str, default: object) -> Any:
    """Return one parameter of the form, the default for an empty field. Raises Problem."""
    if key == "exclude":
        return READERS[key](sent_mints())
    text = request.form[key].strip()
    return READERS[key](text if key == "label" else to_number(text, default))


def to_number(text: str, default: object) -> object:
    """Return the number in a text, the default for none, and the text itself when it is no number."""
    if not text:
        return default
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text

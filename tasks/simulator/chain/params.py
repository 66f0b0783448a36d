"""Reads the parameters of a JSON-RPC call and refuses bad ones as a node does."""

from __future__ import annotations

from typing import Any

from tasks.simulator.chain.transactions import Encoding
from tasks.simulator.faults import Faults
from tasks.simulator.world.addresses import is_base58


class CallError(Exception):
    """A call whose response is an error object."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Throttled(Exception):
    """A call for an address that is always throttled."""


def address_of(params: list[Any], faults: Faults) -> str:
    """Return the first parameter, an address. Raises CallError or Throttled for one in `failing_addresses`."""
    address = params[0] if params else None
    if not isinstance(address, str) or not is_base58(address, 32):
        raise CallError(-32602, "Invalid param: WrongSize" if isinstance(address, str) else "Invalid params")
    fault = faults.failing_addresses.get(address)
    if fault == "throttled":
        raise Throttled("Too many requests for this address.")
    if fault == "invalid":
        raise CallError(-32602, "Invalid param: Invalid")
    return address


def signature_of(params: list[Any]) -> str:
    """Return the first parameter, a signature. Raises CallError for anything else."""
    signature = params[0] if params else None
    if not isinstance(signature, str):
        raise CallError(-32602, "Invalid params: invalid type, expected a string.")
    # A text as long as the world's own signatures is looked up without the costly check.
    if len(signature) != 88 and not is_base58(signature, 64):
        raise CallError(-32602, "Invalid param: WrongSize")
    return signature


def options_of(params: list[Any], place: int) -> dict[str, Any]:
    """Return the parameter at a place, an object; {} when there is none. Raises CallError for anything else."""
    options = params[place] if len(params) > place else None
    if options is None:
        return {}
    if isinstance(options, str):
        return {"encoding": options}
    if not isinstance(options, dict):
        raise CallError(-32602, "Invalid params: invalid type, expected an object.")
    return options


def encoding_of(options: dict[str, Any]) -> Encoding:
    """Return the requested encoding. Raises CallError for one that the simulator does not support."""
    encoding = options.get("encoding", "json")
    if encoding == "json":
        return "json"
    if encoding == "jsonParsed":
        return "jsonParsed"
    raise CallError(-32602, f"Invalid params: unknown variant `{encoding}`, expected `json` or `jsonParsed`.")


def integer_of(options: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    """Return a whole number among the options. Raises CallError when it is out of range."""
    value = options.get(name)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        raise CallError(-32602, f"Invalid {name}; max {most}")
    return value

"""Settings: what is accepted, and that a bad value names itself in one line."""

from __future__ import annotations

import pathlib
import stat

import pytest

from tasks.errors import SettingsError
from tasks.settings import read_settings


def read(**values: str) -> object:
    return read_settings({f"WALLETKIN_{name}": value for name, value in values.items()})


def test_nothing_set_gives_the_embedded_default() -> None:
    settings = read_settings({})
    assert settings.database_url.startswith("sqlite:///")
    assert settings.redis_url is None
    assert settings.bind == "127.0.0.1:8000"
    assert not settings.is_demo


def test_the_public_endpoint_is_read_slowly_and_others_faster() -> None:
    assert read_settings({}).rpc_requests_per_s == 4
    assert read(SOLANA_RPC_URL="http://127.0.0.1:8899").rpc_requests_per_s == 50
    assert read(SOLANA_RPC_URL="http://127.0.0.1:8899", RPC_REQUESTS_PER_S="7.5").rpc_requests_per_s == 7.5


def test_blank_is_not_set() -> None:
    assert read(HISTORY_LIMIT="  ").history_limit == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HISTORY_LIMIT", "0"),
        ("HISTORY_LIMIT", "many"),
        ("RPC_REQUESTS_PER_S", "nan"),
        ("RPC_REQUESTS_PER_S", "-1"),
        ("BIND", "8000"),
        ("BIND", "localhost:99999"),
        ("SOLANA_RPC_URL", "ftp://example.invalid"),
        ("SOLANA_RPC_URL", "not a url"),
        ("SOLANA_RPC_URL", "http://localhost:notaport"),
        ("SOLANA_RPC_URL", "http://localhost:99999"),
        ("DEXSCREENER_URL", "http://localhost:notaport"),
        ("JUPITER_URL", "https://localhost:0"),
        ("REDIS_URL", "redis://localhost:notaport/0"),
        ("DATABASE_URL", "postgresql://walletkin@localhost:notaport/walletkin"),
        ("DATABASE_URL", "mysql://x/y"),
        ("REDIS_URL", "http://x"),
        ("SOURCE_ORDER", "dexscreener,dexscreener"),
        ("SOURCE_ORDER", "coingecko"),
        ("SECRET_KEY", "short"),
        ("MAX_WALLETS", "1"),
        ("WORKERS", "2.5"),
    ],
)
def test_a_bad_value_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert f"WALLETKIN_{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["SECRET_KEY", "OPERATOR_TOKEN"])
def test_a_secret_is_never_shown(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_secret_key_is_made_once_and_kept_private(tmp_path: pathlib.Path) -> None:
    first, second = (read(DATA_DIR=str(tmp_path)).secret_key for _ in range(2))
    assert first == second
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_secret_key_that_cannot_be_kept_is_named_in_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret_key").mkdir()
    with pytest.raises(SettingsError, match="secret_key cannot be kept"):
        _ = read_settings({"WALLETKIN_DATA_DIR": str(tmp_path)}).secret_key


def test_a_given_secret_key_is_used_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    settings = read(DATA_DIR=str(tmp_path), SECRET_KEY="0123456789abcdef")
    assert settings.secret_key == "0123456789abcdef"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_database_means_the_same_for_every_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_settings({"WALLETKIN_DATABASE_URL": "sqlite:///some/w.db"}).database_url
    assert found == f"sqlite:///{tmp_path}/some/w.db"
    absolute = f"sqlite:///{tmp_path}/w.db"
    assert read_settings({"WALLETKIN_DATABASE_URL": absolute}).database_url == absolute

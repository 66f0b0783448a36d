"""What an operator and the probes are told: readiness with its reasons, metrics, the page, the ids of requests."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from structlog import contextvars

from tasks import metrics
from tasks.errors import WalletkinError
from tasks.jobs import claims, queues
from tasks.operations import heartbeat, metric_store, queue_stats
from tasks.settings import current, timing
from tasks.storage import database
from tasks.storage.models.jobs import Job
from tasks.storage.models.operations import Counter, Heartbeat
from tests.conftest import both_databases
from tests.support.site import address, buys, finish, start, sync
from webapp.middleware import load_shedding

TOKEN = "operator-token-1234"
REMOTE = {"REMOTE_ADDR": "203.0.113.7"}
A, B = address("a"), address("b")
WELL = {"database": True, "queue": True, "pipeline": True, "enrichment": True, "waiting": True}


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    metrics.drain()
    yield
    metrics.drain()


@pytest.fixture
def workers(app: Flask) -> None:
    """A living worker for each queue, which has had nothing in hand yet."""
    with database.session():
        for name in queues.QUEUES:
            heartbeat.beat(f"host/{name}/1", name, "0.1.0", None)


def change(model: Any, **values: Any) -> None:
    with database.session():
        model.update(**values).execute()


def now_s() -> float:
    with database.session():
        return database.now_s()


def samples(client: FlaskClient, **options: Any) -> dict[tuple[str, ...], float]:
    """Return (name, label values in the order of the labels' names) → value of every sample, as Prometheus reads it."""
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return {
        (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


# Readiness


@pytest.mark.usefixtures("workers")
def test_all_is_well_with_a_worker_for_each_queue(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    answer = client.get("/readyz")
    waits = {"pipeline": None, "enrichment": None}
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "checks": WELL, "oldest_waiting_s": waits, "reasons": []}


def test_a_queue_without_a_worker_is_named(client: FlaskClient) -> None:
    with database.session():
        heartbeat.beat("host/1/1", "pipeline", "0.1.0", None)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"] == WELL | {"enrichment": False}
    assert answer.json["reasons"] == ["No worker of the queue enrichment is known to be running."]


@pytest.mark.usefixtures("workers")
def test_a_worker_that_has_fallen_silent_counts_no_more(client: FlaskClient) -> None:
    change(Heartbeat, last_seen_at=now_s() - timing().silent_s - 1)
    assert client.get("/readyz").json["checks"] == WELL | {"pipeline": False, "enrichment": False}


@pytest.mark.usefixtures("workers")
def test_a_worker_heard_of_before_the_clock_was_set_back_counts_no_more(client: FlaskClient) -> None:
    change(Heartbeat, last_seen_at=now_s() + 3600)
    assert client.get("/readyz").status_code == 503


@pytest.mark.usefixtures("workers")
def test_readiness_needs_the_database(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> float:
        raise WalletkinError("gone")

    monkeypatch.setattr(database, "now_s", gone)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    unknown = dict.fromkeys(("pipeline", "enrichment", "waiting"))
    assert answer.json["checks"] == {"database": False, "queue": True, **unknown}
    assert answer.json["reasons"] == ["The database does not answer."]


@pytest.mark.usefixtures("workers")
def test_readiness_needs_the_queue(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> int:
        raise OSError("gone")

    monkeypatch.setattr(queues.QUEUES["pipeline"].storage, "queue_size", gone)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"] == WELL | {"queue": False}


@pytest.mark.usefixtures("workers")
def test_work_that_waits_while_nobody_does_anything_is_told(client: FlaskClient) -> None:
    start(client, [A, B])
    assert client.get("/readyz").status_code == 200
    change(Job, enqueued_at=now_s() - 500)
    answer = client.get("/readyz")
    assert answer.json["checks"] == WELL | {"waiting": False}
    assert 500 <= answer.json["oldest_waiting_s"]["pipeline"] < 600
    assert re.fullmatch(
        r"A job of the queue pipeline has waited 5\d\d s, and none is done\.", answer.json["reasons"][0]
    )


@pytest.mark.usefixtures("workers")
def test_old_work_may_wait_while_newer_work_is_done(client: FlaskClient) -> None:
    start(client, [A, B])
    change(Job, enqueued_at=now_s() - 500)
    with database.session():
        assert claims.claim_job(Job.select().first().id) is not None
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["oldest_waiting_s"]["pipeline"] >= 500


@pytest.mark.usefixtures("workers")
def test_old_work_may_wait_while_a_worker_is_between_two_jobs(client: FlaskClient) -> None:
    start(client, [A, B])
    change(Job, enqueued_at=now_s() - 500)
    with database.session():
        heartbeat.beat("host/pipeline/1", "pipeline", "0.1.0", 3.0)
    assert client.get("/readyz").status_code == 200


# Metrics


@pytest.mark.usefixtures("workers")
def test_metrics_tell_of_everything(client: FlaskClient) -> None:
    wallets = [sync(name, buys(1, 2, 3)) for name in ("one", "two")]
    finish(client, wallets)
    start(client, [A, B])
    change(Job, enqueued_at=now_s() - 100)
    with database.session():
        Job.update(finished_at=Job.finished_at - metric_store.SETTLED_S - 1).where(
            Job.finished_at.is_null(False)
        ).execute()
        assert metric_store.count_ended_jobs() == 1
        metric_store.store({("source_calls", "solana", "429"): 2.0})
    client.get("/nowhere")
    found = samples(client)
    assert found["walletkin_request_seconds_count", "analyses.create", "POST", "2xx"] == 2
    assert found["walletkin_request_seconds_bucket", "analyses.create", "+Inf", "POST", "2xx"] == 2
    assert found["walletkin_request_seconds_count", "none", "GET", "4xx"] == 1
    assert found["walletkin_jobs_total", "similarity", "succeeded"] == 1
    assert found["walletkin_job_seconds_count", "similarity"] == 1
    assert found["walletkin_queue_jobs", "pipeline", "waiting", "user"] == 2
    assert found["walletkin_queue_jobs", "pipeline", "running", "user"] == 0
    assert found["walletkin_queue_oldest_seconds", "pipeline", "user"] >= 100
    assert found["walletkin_source_calls_total", "429", "solana"] == 2
    assert found["walletkin_processes", "enrichment"] == 1
    assert found["walletkin_tokens", "pending"] == 3
    assert found["walletkin_database_bytes",] > 0


def test_buckets_add_up_and_hold_what_their_bound_says(client: FlaskClient) -> None:
    for seconds in (0.001, 0.005, 0.0051, 3.0, 11.0):
        metrics.observe("requests", "GET", "x", "2xx", seconds=seconds, bounds=metrics.REQUEST_BOUNDS_S)
    found = samples(client)
    for bound, number in (("0.005", 2), ("0.01", 3), ("2.5", 3), ("5.0", 4), ("10.0", 4), ("+Inf", 5)):
        assert found["walletkin_request_seconds_bucket", "x", bound, "GET", "2xx"] == number
    assert found["walletkin_request_seconds_sum", "x", "GET", "2xx"] == pytest.approx(14.0111)


def test_no_id_is_in_a_metric_and_their_number_is_bounded(client: FlaskClient) -> None:
    key = start(client, [A, B])
    for path in (f"/analyses/{key}.json", f"/analyses/{key}/pairs.json", f"/jobs/{key}", "/a", "/b", "/c"):
        client.get(path)
        client.open(path, method="BREW")
    text = client.get("/metrics").text
    assert not re.search(r"[0-9a-f]{32}", text)
    assert "BREW" not in text
    assert 'endpoint="none",method="GET"' in text
    assert 'endpoint="none",method="other"' in text


def test_what_there_was_no_place_for_is_counted(app: Flask, client: FlaskClient) -> None:
    assert samples(client)["walletkin_requests_refused_total",] == 0
    gate = app.wsgi_app.inner  # type: ignore[attr-defined]
    assert isinstance(gate, load_shedding.LoadShedder)
    slots = [gate._enter() for _ in range(current().web_threads)]
    gate.wait_s = 0.0
    assert all(slots)
    assert client.get("/activity.json").status_code == 503
    assert samples(client)["walletkin_requests_refused_total",] == 1  # which is always answered
    for _ in slots:
        gate._slots.release()
    client.get("/")
    samples(client)
    assert "1 refused when overloaded" in client.get("/operations").text


def test_counts_that_cannot_be_written_down_are_kept(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(counted: Any) -> None:
        raise WalletkinError("locked")

    client.get("/healthz")
    with monkeypatch.context() as patch:
        patch.setattr(metric_store, "store", locked)
        assert ("walletkin_request_seconds_count", "operations.healthz", "GET", "2xx") not in samples(client)
    assert samples(client)["walletkin_request_seconds_count", "operations.healthz", "GET", "2xx"] == 1


@pytest.mark.parametrize("path", ["/metrics", "/operations"])
def test_only_the_operator_may_see(make_app: Callable[..., Flask], path: str) -> None:
    local = make_app().test_client()
    assert local.get(path).status_code == 200
    assert local.get(path, environ_overrides=REMOTE).status_code == 403
    closed = make_app(OPERATOR_TOKEN=TOKEN).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert closed.get(path).status_code == 403
    assert closed.get(path, headers={"Authorization": "Bearer wrong-token-12345"}).status_code == 403
    assert closed.get(path, headers=bearer, environ_overrides=REMOTE).status_code == 200
    assert closed.get("/readyz", environ_overrides=REMOTE).status_code == 503  # a probe has no token


def test_a_browser_asks_for_the_token_and_then_shows_the_page(make_app: Callable[..., Flask]) -> None:
    client = make_app(OPERATOR_TOKEN=TOKEN).test_client()
    asked = client.get("/operator")
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert client.get("/operator", auth=("", "wrong-token-12345")).status_code == 401
    entered = client.get("/operator", auth=("anybody", TOKEN))
    assert (entered.status_code, entered.location) == (303, "/operations")
    assert client.get("/operations", auth=("anybody", TOKEN)).status_code == 200
    for nonsense in ("Basic", "Basic !!!", "Bearer", "Digest a=b", "\x00"):
        assert client.get("/operator", headers={"Authorization": nonsense}).status_code == 401, nonsense


def test_the_footer_leads_only_an_operator_there(client: FlaskClient) -> None:
    assert 'href="/operations"' in client.get("/").text
    assert 'href="/operations"' not in client.get("/", environ_overrides=REMOTE).text


# The page


@pytest.mark.usefixtures("workers")
def test_the_page_shows_what_is_measured(client: FlaskClient) -> None:
    wallets = [sync(name, buys(1, 2, 3)) for name in ("one", "two")]
    key = finish(client, wallets)
    with database.session():
        metric_store.store({("source_calls", "jupiter", "429"): 7.0})
    client.get("/metrics")
    text = client.get("/operations").text
    assert "Everything works." in text
    assert ">jupiter</th>" in text
    assert ">7</td>" in text
    assert "Compare pairs" in text
    assert "analyses.create" in text
    assert key not in text


def test_the_page_of_an_empty_instance_says_what_is_wrong(client: FlaskClient) -> None:
    text = client.get("/operations").text
    assert "No worker of the queue pipeline is known to be running." in text
    for empty in ("No heartbeat yet", "No job ended", "No requests to outside services", "No requests counted"):
        assert empty in text


def test_the_page_uses_all_that_it_is_given(client: FlaskClient, app: Flask) -> None:
    template = app.jinja_env.loader.get_source(app.jinja_env, "pages/operations.html")[0]  # type: ignore[union-attr]
    from webapp.presenters import operations

    with app.test_request_context(), database.session():
        shown = operations.view()
    unused = [name for name in shown if f"w.{name}" not in template]
    assert unused == []
    assert client.get("/operations", headers={"HX-Request": "true"}).text.lstrip().startswith("<div")


# Requests


def test_every_answer_has_an_id_of_ours(client: FlaskClient) -> None:
    ids = [
        client.get(path, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"]
        for path in ("/", "/nowhere", "/healthz", "/static/app.css", "/activity.json", "/metrics")
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


def test_what_is_logged_after_a_request_does_not_name_it(client: FlaskClient) -> None:
    client.get("/")
    assert contextvars.get_contextvars() == {}


def test_a_request_is_logged_by_its_endpoint(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="walletkin.web")
    key = start(client, [A, B])
    client.get(f"/analyses/{key}.json")
    told = [(r.levelname, r.endpoint, r.status) for r in caplog.records if r.message == "request"]  # type: ignore[attr-defined]
    assert told == [("INFO", "analyses.create", 202), ("DEBUG", "analyses.show_json", 200)]
    assert key not in caplog.text


# What it is made of


@both_databases
@pytest.mark.usefixtures("app")
def test_depths_tell_apart_what_runs_what_waits_and_what_is_put_off(client: FlaskClient) -> None:
    start(client, [address(n) for n in range(4)])
    with database.session():
        now = database.now_s()
        first, second, third, _ = [one.id for one in Job.select().order_by(Job.id)]
        Job.update(enqueued_at=now - 50).execute()
        assert claims.claim_job(first) is not None
        Job.update(run_after=now + 60).where(Job.id == second).execute()
        Job.update(started_at=now - 40, announced_at=now - 5).where(Job.id == third).execute()
        (found,) = queue_stats.depths()
        assert (found.queue, found.tier, found.running, found.waiting, found.put_off) == ("pipeline", 3, 1, 2, 1)
        assert found.oldest_s == pytest.approx(50, abs=40)
        Job.update(lease_until=now - 1).where(Job.id == first).execute()
        assert queue_stats.depths()[0].running == 0  # its worker was lost


def test_counters_add_up_over_processes(client: FlaskClient) -> None:
    with database.session():
        for _ in range(3):
            metric_store.store({("a", "x"): 1.0, ("a", "y"): 2.5, ("b",): 1.0})
        metric_store.store({})
        assert metric_store.totals() == {"a": {("x",): 3.0, ("y",): 7.5}, "b": {(): 3.0}}
        assert Counter.select().count() == 3


def test_ended_jobs_are_summed_up_by_the_hour(client: FlaskClient) -> None:
    with database.session():
        now = database.now_s()
        for number, (ago_s, took_s, state) in enumerate(
            [(10, 2.0, "succeeded"), (3500, 4.0, "succeeded"), (3700, None, "succeeded"), (90_000, 1.0, "succeeded"),
             (20, 1.0, "failed"), (23.9 * 3600, 9.0, "succeeded")]
        ):  # fmt: skip
            Job.insert(
                id=f"{number}", queue="pipeline", kind="sync", target=f"{number}", tier=3, priority=1, state=state,
                enqueued_at=0.0, started_at=None if took_s is None else now - ago_s - took_s, finished_at=now - ago_s,
            ).execute()  # fmt: skip
        found = {(one.state, one.hours_ago): one for one in queue_stats.ended_jobs()}
    assert set(found) == {("succeeded", 0), ("succeeded", 1), ("failed", 0), ("succeeded", 23)}
    last = found["succeeded", 0]
    assert (last.count, last.timed, last.seconds, last.longest_s) == (2, 2, pytest.approx(6.0), pytest.approx(4.0))
    never = found["succeeded", 1]
    assert (never.count, never.timed, never.seconds, never.longest_s) == (1, 0, 0, None)
    text = client.get("/operations").text
    assert ">4</td>" in text  # succeeded, all hours together
    assert "5 ended within 24 hours" in text

"""Measures, and prints the figures: `make bench`. Asserts nothing; names of figures tell the bound beside the value."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator

import psutil

from tasks.simulator.world.scenario import plain_scenario
from tasks.simulator.world.world import build_world
from tests.benchmarks import planted, tokens
from tests.support import servers
from webapp.intake.rows import read


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (all when left out)")
    names = parser.parse_args().names or list(BENCHMARKS)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in names:
        BENCHMARKS[name]()


def say(what: str, value: str, bound: str = "") -> None:
    print(f"{what:<72} {value:>16}  {bound}", flush=True)


@contextlib.contextmanager
def chain(wallets: int, transactions: int, latency_ms: int) -> Iterator[str]:
    """Serve a made-up chain from another process."""
    port = servers.free_port()
    arguments = [str(number) for number in (wallets, transactions, latency_ms, port)]
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.chain", *arguments], cwd=servers.ROOT)
    try:
        servers.wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def ask(url: str, body: object | None = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def timed(url: str) -> float:
    started = time.perf_counter()
    with urllib.request.urlopen(url, timeout=60) as answer:
        answer.read()
    return time.perf_counter() - started


def pipeline() -> None:
    """From POST to complete, the page being read meanwhile."""
    addresses = build_world(plain_scenario(50, 500, end_at=1_795_000_000)).addresses[:50]
    with chain(50, 500, 50) as url, tempfile.TemporaryDirectory() as folder:
        environ = {"WALLETKIN_SOLANA_RPC_URL": url, "WALLETKIN_RPC_REQUESTS_PER_S": "1000000"}
        with servers.program(pathlib.Path(folder), environ) as running:
            seconds, pages = run_analysis(running, addresses)
            stats = ask(f"{url}/_stats")
            peak = peak_mb(running.processes["pipeline"].pid)
    say("50 wallets x 500 transactions at 50 ms, POST to complete", f"{seconds:.1f} s", "< 60 s")
    say("  its page meanwhile, p95", f"{1000 * percentile(pages, 95):.0f} ms", "< 200 ms")
    say("  its page meanwhile, median", f"{1000 * statistics.median(pages):.0f} ms")
    say("  HTTP requests to the RPC service", f"{stats['http']}", f"<= {50 * (1 + 5 + 3) + 1}")
    say("  peak memory of the pipeline worker", f"{peak:.0f} MB")


def run_analysis(running: servers.Program, addresses: list[str]) -> tuple[float, list[float]]:
    started = time.perf_counter()
    made = ask(f"{running.url}/analyses", {"wallets": [{"address": address} for address in addresses]})
    page, pages = f"{running.url}/analyses/{made['id']}", []
    while True:
        pages += [timed(page), timed(f"{page}/progress"), timed(f"{page}/progress.json")]
        state = ask(f"{page}.json")["state"]
        if state in ("complete", "failed", "cancelled"):
            assert state == "complete", state
            return time.perf_counter() - started, pages
        time.sleep(0.2)


def percentile(values: list[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


def peak_mb(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def long_wallet() -> None:
    """A worker's memory while it reads a wallet of 50,000 transactions."""
    addresses = build_world(plain_scenario(2, 50_000, end_at=1_795_000_000)).addresses[:2]
    with chain(2, 50_000, 0) as url, tempfile.TemporaryDirectory() as folder:
        environ = {
            "WALLETKIN_SOLANA_RPC_URL": url,
            "WALLETKIN_RPC_REQUESTS_PER_S": "1000000",
            "WALLETKIN_HISTORY_LIMIT": "60000",
        }
        with servers.program(pathlib.Path(folder), environ) as running:
            seconds, _ = run_analysis(running, addresses)
            peak = peak_mb(running.processes["pipeline"].pid)
            threads = psutil.Process(running.processes["pipeline"].pid).num_threads()
    say("2 wallets x 50,000 transactions, POST to complete", f"{seconds:.1f} s")
    say(f"  peak memory of the pipeline worker ({threads} threads)", f"{peak:.0f} MB", "< 300 MB")


def pairs() -> None:
    """All pairs of many wallets, in a process of its own so that the peak is its own."""
    for wallets in (500, 2_000, 10_000, 20_000):
        printed = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.pairs", str(wallets)],
            cwd=servers.ROOT, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        figures = json.loads(printed)
        say(
            f"compare {wallets:,} wallets x 60 mints", f"{figures['seconds']:.2f} s", f"{figures['pairs']:,} pairs kept"
        )
        say("  peak memory", f"{figures['peak_mb']:.0f} MB")
        kernel, bare = figures["kernel_seconds"], figures["bare_seconds"]
        say("  pair kernel beside the bare product", f"{kernel:.2f} / {bare:.2f} s", f"{kernel / bare:.2f}, <= 3")


def analysis() -> None:
    """The whole analysis stage, each size in a process of its own."""
    bounds = {100: "< 1 s", 10_000: "< 30 s, PostgreSQL < 45 s; < 1,024 MB", 20_000: "< 90 s; < 1,536 MB"}
    long = ["--trades", "1000"]
    for wallets, more in ((100, []), (10_000, []), (10_000, ["--postgresql"]), (20_000, []), (2_000, long)):
        command = [sys.executable, "-m", "tests.benchmarks.analysis", str(wallets), *more]
        printed = subprocess.run(command, cwd=servers.ROOT, capture_output=True, check=True, text=True).stdout
        say(f"analysis stage, {wallets:,} wallets {' '.join(more)}", "", bounds.get(wallets, ""))
        for name, value in json.loads(printed.splitlines()[-1]).items():
            say(f"  {name}", f"{value:,.2f}" if isinstance(value, float) else str(value))


def pages() -> None:
    """The pages of a large result under 100 requests a second, served as the Procfile says."""
    command = [sys.executable, "-m", "tests.benchmarks.pages"]
    printed = subprocess.run(command, cwd=servers.ROOT, capture_output=True, check=True, text=True).stdout
    figures = json.loads(printed.splitlines()[-1])
    say("pages of a stored result", f"{figures.pop('pairs'):,} pairs", f"{figures.pop('clusters'):,} clusters")
    for name, found in figures.items():
        say(f"  {name}, p50 / p95 / p99", " / ".join(f"{found[p]:.0f}" for p in ("p50", "p95", "p99")), "ms, p95 <= 50")


def intake() -> None:
    """Reading large lists, and taking the largest one allowed."""
    addresses = build_world(plain_scenario(10_000, 1, end_at=1_795_000_000)).addresses[:10_000]
    labelled = "\n".join(f"{address},label {number}" for number, address in enumerate(addresses))
    texts = {
        "10,000 labelled wallets": labelled,
        "10,000 duplicates": f"{addresses[0]}\n" * 10_000,
        "2 MB of junk on one line": "a1" * 1_000_000,
        "2 MB of address-like junk": ("a1" * 13 + " ") * 74_000,
    }
    for name, text in texts.items():
        say(f"read {name}", f"{statistics.median(clocked(lambda t=text: read(t)) for _ in range(3)):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        environ = {"WALLETKIN_SOLANA_RPC_URL": "http://127.0.0.1:9"}
        with servers.program(pathlib.Path(folder), environ, ("web",)) as running:
            body = {"wallets": [{"address": a, "label": str(n)} for n, a in enumerate(addresses)]}
            seconds = clocked(lambda: ask(f"{running.url}/analyses", body))
    say("POST of 10,000 labelled wallets, accepted", f"{seconds:.2f} s")


def clocked(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def browser() -> None:
    """What the browser tests print: layout shift, first paint, bytes, opening a pair, elements; bounds in brackets."""
    command = [sys.executable, "-m", "pytest", "tests/browser/test_speed.py", "-s", "-m", "", "-p", "no:randomly"]
    told = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True).stdout
    figures = ("layout shift", "first contentful", "opening a pair")
    for line in told.splitlines():
        if line.lstrip(".").startswith(figures) or " elements " in line:
            print(line.lstrip("."), flush=True)


BENCHMARKS: dict[str, Callable[[], None]] = {
    "pipeline": pipeline,
    "long_wallet": long_wallet,
    "pairs": pairs,
    "analysis": analysis,
    "pages": pages,
    "browser": browser,
    "planted": lambda: planted.report(say),
    "intake": intake,
    "tokens": lambda: tokens.enrichment(say),
}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    main()

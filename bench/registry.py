"""What a search over 1,000,000 published statements costs, in SQLite and PostgreSQL.

The statements are made up, and go the way of harvested ones from there on: `entry_of`, `Index.add`. Asked are
five kinds of questions, each a thousand times with other values; the figures are those of the worst kind.
Besides, the longest of some questions made to be expensive: frequent words that never stand together.

Run `python bench/registry.py [--json] [--entries N] [--postgresql URL]`; without a URL PostgreSQL is left out
(MEGURI_TEST_POSTGRESQL names one too).
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import make_url, text

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from agents.harvest import entry_of, of_issuer, of_item, of_model, of_type
from agents.ports import Desk, Entry, Question, Source
from agents.role import Company
from agents.store import SqlStore, open_store
from agents.tokens import asked, tokens
from schemas.errors import Unavailable
from schemas.items import mint

ENTRIES, BATCH, TIMES = 1_000_000, 20_000, 1000
ISSUERS = [f"did:webvh:Qm{n:044d}:registry.example:company-{n}" for n in range(200)]
MAKERS = (
    "Leaf", "Ariya", "Sakura", "i-MiEV", "Prius PHV", "bZ4X", "Outlander PHEV",
    "アリア", "サクラ", "プリウス",
)  # fmt: skip
MODELS = [f"{maker} {kind}{n}" for maker in MAKERS for kind in ("ZE", "AZ", "型式") for n in range(20)]
CHEMISTRIES = ("NMC", "LMO", "LFP", "NCA", "リン酸鉄リチウム", "三元系", "マンガン酸リチウム")
METHODS = ("polarisation-resistance", "gp-linear-trend", "fleet-weighted", "weibull")
INSTRUMENTS = (
    "Hioki BT4560", "Hioki SW1001", "日置電機 BT4560", "Espec 恒温槽", "Keysight 34980A", "菊水電子 PFX2500",
)  # fmt: skip
REMARKS = (
    "外観良好", "端子に腐食あり", "セル膨張の兆候", "漏液なし", "絶縁抵抗良好", "交換用モジュール",
    "定置用蓄電池向け", "surface scratched", "terminal corroded", "slight swelling", "no leak found",
)  # fmt: skip
LATIN = (*MAKERS[:7], "hioki", "keysight", "polarisation resistance", "terminal corroded", "slight swelling")
JAPANESE = (
    "恒温槽",
    "菊水電子",
    "リン酸鉄リチウム",
    "膨張の兆候",
    "腐食",
    "サクラ",
    "アリア型式",
    "定置用蓄電池",
)
FIRST = datetime(2021, 4, 1, tzinfo=UTC)
SPAN_S = int(timedelta(days=5 * 365).total_seconds())


def statements(count: int, random: Random) -> Iterator[Entry]:
    """Yield made-up statements: of each item its identity, then a diagnosis or two."""
    weights = [1 / (n + 1) for n in range(len(ISSUERS))]  # a few issuers publish most
    popular = [1 / (n + 1) for n in range(len(MODELS))]
    made = 0
    while made < count:
        (issuer,), (model,) = random.choices(ISSUERS, weights), random.choices(MODELS, popular)
        code, at = mint("pack"), FIRST + timedelta(seconds=random.randrange(SPAN_S))
        claim: dict[str, Any] = {
            "item": code,
            "kind": "pack",
            "model": model,
            "chemistry": random.choice(CHEMISTRIES),
            "position": random.choice(REMARKS),
        }
        yield _entry(random, "ItemIdentity", issuer, at, claim)
        made += 1
        for _ in range(min(random.randint(0, 2), count - made)):
            claim = {
                "item": code,
                "model": model,
                "method": random.choice(METHODS),
                "method_version": "1.0",
                "inputs_digest": "sha256:" + random.randbytes(32).hex(),
                "not_assessable": random.choice(REMARKS) if random.random() < 0.2 else "",
                "instruments": [random.choice(INSTRUMENTS), f"No. {random.randrange(100_000)}"],
                "soh_pct": f"{random.uniform(40, 100):.2f}",
            }
            yield _entry(random, "DiagnosisResult", issuer, at + timedelta(days=random.random()), claim)
            made += 1


def _entry(random: Random, type_: str, issuer: str, at: datetime, claim: dict[str, Any]) -> Entry:
    document = {
        "id": UUID(bytes=random.randbytes(16), version=4).urn,
        "type": ["VerifiableCredential", type_],
        "issuer": issuer,
        "validFrom": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "credentialSubject": {"id": f"{issuer}/items/{claim['item']}", **claim},
    }
    return entry_of(document, type_, issuer)


def questions(random: Random, codes: list[str]) -> dict[str, list[Question]]:
    """Return the five kinds of questions."""

    def span() -> dict[str, datetime]:
        begin = FIRST + timedelta(seconds=random.randrange(SPAN_S))
        return {"since": begin, "until": begin + timedelta(days=random.choice((1, 30, 180)))}

    def ask(*words: str, **more: Any) -> Question:
        return Question(words=frozenset(words), limit=21, **more)

    def model() -> frozenset[str]:
        return of_model(tokens(random.choice(MODELS)))

    def text(some: tuple[str, ...]) -> frozenset[str]:
        return asked(f"{random.choice(some)} {random.choice(('', *some))}")

    return {
        "type and model": [ask(of_type("DiagnosisResult"), *model()) for _ in range(TIMES)],
        "issuer and dates": [ask(of_issuer(random.choice(ISSUERS)), **span()) for _ in range(TIMES)],
        "text": [ask(*text(LATIN)) for _ in range(TIMES)],
        "Japanese text": [ask(*text(JAPANESE)) for _ in range(TIMES)],
        "exact item": [ask(of_item(random.choice(codes))) for _ in range(TIMES)],
    }


def costly() -> list[Question]:
    """Return questions made to be expensive: frequent words that never stand together, and old ones."""
    diagnosis = frozenset({of_type("DiagnosisResult")})
    return [
        Question(words=asked("hioki keysight 菊水電子 恒温槽"), limit=21),
        Question(words=asked("gp linear trend weibull"), limit=21),
        Question(words=diagnosis | {of_type("ItemIdentity")}, limit=21),
        Question(words=asked("腐食") | {of_issuer(ISSUERS[-1])}, limit=101),
        Question(words=asked("BT4560 日置電機"), until=FIRST + timedelta(days=1), limit=101),
        Question(words=diagnosis, since=FIRST, until=FIRST, limit=101),
    ]


async def asked_of(store: SqlStore, kinds: dict[str, list[Question]]) -> dict[str, list[float]]:
    """Return the milliseconds that each question took, as the service asks it."""
    for some in kinds.values():
        for one in some[:20]:
            await store.read(lambda desk, one=one: desk.index.search(one))  # type: ignore[misc]
    took: dict[str, list[float]] = {}
    for kind, some in kinds.items():
        took[kind] = []
        for one in some:
            begun = time.perf_counter()
            await store.read(lambda desk, one=one: desk.index.search(one))  # type: ignore[misc]
            took[kind].append((time.perf_counter() - begun) * 1000)
    return took


async def longest(store: SqlStore) -> float:
    """Return the milliseconds that the most expensive of the costly questions took, or was given."""
    took = []
    for one in costly():
        begun = time.perf_counter()
        try:
            await store.read(lambda desk, one=one: desk.index.search(one))  # type: ignore[misc]
        except Unavailable:
            print(f"given up: {sorted(one.words)}", file=sys.stderr)
        took.append((time.perf_counter() - begun) * 1000)
    return max(took)


def size_mb(store: SqlStore, url: str) -> float:
    """Return the size of a store's database."""
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent
        return sum(one.stat().st_size for one in folder.iterdir()) / 1e6
    query = text("SELECT pg_database_size(current_database())")

    def work(desk: Any) -> int:
        return int(desk.connection.execute(query).scalar())

    return asyncio.run(store.read(work)) / 1e6


async def build(stores: dict[str, SqlStore], count: int) -> tuple[dict[str, float], list[str]]:
    """Index made-up statements in every store; return the seconds each took, and some of the items."""
    for store in stores.values():

        def begin(desk: Desk) -> None:
            for did in ISSUERS:
                desk.index.keep_source(Source(did, "https://company.example"))

        await store.write(begin)
    took, codes = dict.fromkeys(stores, 0.0), []
    for some in batched(statements(count, Random(1)), BATCH, strict=False):
        codes += [some[0].item]
        for name, store in stores.items():
            begun = time.perf_counter()
            await store.write(lambda desk, some=some: desk.index.add(some))  # type: ignore[misc]
            took[name] += time.perf_counter() - begun
    return took, codes


def fresh_database(server: str) -> str:
    """Return the URL of a new database on a server."""
    url = make_url(server)
    name = f"meguri_bench_{os.getpid()}"
    with psycopg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    return url.set(database=name).render_as_string(hide_password=False)


def drop_database(server: str, url: str) -> None:
    """Drop the database again."""
    place = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)'.encode())


def measure(urls: dict[str, str], count: int) -> dict[str, float]:
    """Build and ask each database; return the figures."""
    us = Company("did:example:us", "Bench", ("governance-authority",))
    figures: dict[str, float] = {"entries": count}
    stores = {name: open_store(url, us) for name, url in urls.items()}
    try:
        built, codes = asyncio.run(build(stores, count))
        print(
            ", ".join(f"{name} built in {s:.0f} s" for name, s in built.items()), file=sys.stderr, flush=True
        )
        for name, store in stores.items():
            if name == "postgresql":
                with psycopg.connect(
                    make_url(urls[name]).set(drivername="postgresql").render_as_string(hide_password=False),
                    autocommit=True,
                ) as connection:
                    connection.execute("VACUUM ANALYZE indexed")  # as the server does by itself, later
            took = asyncio.run(asked_of(store, questions(Random(2), codes)))
            for kind, times in took.items():
                print(
                    f"{name:11} {kind:17} p50 {statistics.median(times):7.2f} ms"
                    f"   p99 {statistics.quantiles(times, n=100)[98]:7.2f} ms   max {max(times):7.2f} ms",
                    file=sys.stderr,
                )
            # Of the five kinds, the one that is worst.
            figures[f"p50_ms_{name}"] = round(max(statistics.median(t) for t in took.values()), 2)
            figures[f"p99_ms_{name}"] = round(
                max(statistics.quantiles(t, n=100)[98] for t in took.values()), 2
            )
            figures[f"costly_ms_{name}"] = round(asyncio.run(longest(store)), 1)
            figures[f"build_s_{name}"] = round(built[name], 1)
            figures[f"size_mb_{name}"] = round(size_mb(store, urls[name]), 1)
    finally:
        for store in stores.values():
            store.close()
    return figures


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--postgresql", default=os.environ.get("MEGURI_TEST_POSTGRESQL", ""))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        urls = {"sqlite": f"sqlite:///{folder}/bench/books.db"}
        if options.postgresql:
            urls["postgresql"] = fresh_database(options.postgresql)
        try:
            figures = measure(urls, options.entries)
        finally:
            if "postgresql" in urls:
                drop_database(options.postgresql, urls["postgresql"])
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:>14,}")


if __name__ == "__main__":
    main()

"""The index answers as looking through everything would, in either database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from agents.ports import Desk, Entry, Question, Source
from agents.store import SqlStore, index
from schemas.errors import Unavailable, Unknown

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ISSUERS = ("did:key:a", "did:key:b")
WORDS = ("t:DiagnosisResult", "m:leaf", "電池", "膨張", "hioki", "c:P3F9KQ27MT-I", "rare")


def entry(number: int, random: Random) -> Entry:
    chosen = frozenset(word for n, word in enumerate(WORDS) if random.random() < 0.9 / (n + 1))
    at = FIRST + timedelta(seconds=random.randrange(40))
    return Entry(f"urn:x:{number}", random.choice(ISSUERS), "T", "I", "M", at, "zQm", chosen)


def answer(entries: Sequence[Entry], question: Question) -> list[str]:
    """Answer a question by looking through everything."""
    found = [
        one
        for one in entries
        if question.words <= one.words
        and (question.since is None or one.at >= question.since)
        and (question.until is None or one.at <= question.until)
        and (question.below is None or one.place < question.below)
    ]
    return [one.id for one in sorted(found, key=lambda one: -one.place)][: question.limit]


@pytest.fixture
async def indexed(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    monkeypatch.setattr(index, "_LOOKED_THROUGH", (5, 20))  # so that all ways of PostgreSQL are gone
    random = Random(4)
    entries = [entry(n, random) for n in range(150)]

    def work(desk: Desk) -> list[Entry]:
        for did in ISSUERS:
            desk.index.keep_source(Source(did, "https://x.example"))
        desk.index.add(entries)
        return desk.index.search(Question(limit=1000))

    return await store.write(work)


def questions(random: Random, entries: Sequence[Entry]) -> list[Question]:
    def some() -> Question:
        moment = FIRST + timedelta(seconds=random.randrange(-2, 42))
        return Question(
            words=frozenset(random.sample(WORDS, random.choice((0, 1, 1, 2, 3)))),
            since=random.choice((None, moment)),
            until=random.choice((None, moment + timedelta(seconds=random.randrange(10)))),
            below=random.choice((None, random.choice(entries).place)),
            limit=random.choice((1, 3, 20, 500)),
        )

    return [some() for _ in range(120)]


async def test_it_answers_as_looking_through_everything_would(store: SqlStore, indexed: list[Entry]) -> None:
    assert len(indexed) == 150
    assert [one.at for one in indexed] == sorted((one.at for one in indexed), reverse=True), "latest first"
    for question in questions(Random(7), indexed):
        found = await store.read(lambda desk, q=question: desk.index.search(q))  # type: ignore[misc]
        assert [one.id for one in found] == answer(indexed, question), question


async def test_every_page_goes_on_where_the_last_one_ended(store: SqlStore, indexed: list[Entry]) -> None:
    for words in (frozenset[str](), frozenset({"m:leaf"}), frozenset({"rare"})):
        found: list[str] = []
        below: int | None = None
        while True:
            question = Question(words=words, below=below, limit=7)
            page = await store.read(lambda desk, q=question: desk.index.search(q))  # type: ignore[misc]
            found += [one.id for one in page]
            if len(page) < 7:
                break
            below = page[-1].place
        assert found == answer(indexed, Question(words=words, limit=1000))


async def test_a_statement_is_replaced_forgotten_and_its_words_with_it(
    store: SqlStore, indexed: list[Entry]
) -> None:
    old = next(one for one in indexed if "rare" in one.words)
    fresh = Entry(old.id, old.issuer, "U", "J", "N", old.at, "zQn", frozenset({"fresh"}))

    async def by(word: str) -> set[str]:
        question = Question(words=frozenset({word}), limit=1000)
        return {one.id for one in await store.read(lambda desk: desk.index.search(question))}

    assert old.id in await by("rare")
    await store.write(lambda desk: desk.index.add([fresh]))
    assert old.id not in await by("rare")
    assert await by("fresh") == {old.id}
    await store.write(lambda desk: desk.index.drop(old.issuer, [old.id, "urn:x:unknown"]))
    assert await by("fresh") == set()
    other = ISSUERS[1 - ISSUERS.index(old.issuer)]
    await store.write(lambda desk: desk.index.drop_source(old.issuer))
    left = await store.read(lambda desk: desk.index.search(Question(limit=1000)))
    assert {one.issuer for one in left} == {other}
    assert await by("m:leaf") == {one.id for one in left if "m:leaf" in one.words}
    await store.write(lambda desk: desk.index.clear())
    assert await store.read(lambda desk: desk.index.search(Question())) == []
    assert await by("m:leaf") == set()
    with pytest.raises(Unknown):
        await store.write(lambda desk: desk.index.add([fresh if old.issuer == fresh.issuer else old]))


async def test_an_issuer_takes_nobody_elses_id(store: SqlStore, indexed: list[Entry]) -> None:
    theirs = indexed[0]
    other = ISSUERS[1 - ISSUERS.index(theirs.issuer)]
    taken = Entry(theirs.id, other, "T", "", "", theirs.at, "zQx", frozenset({"taken"}))
    await store.write(lambda desk: desk.index.add([taken]))
    await store.write(lambda desk: desk.index.drop(other, [theirs.id]))
    found = await store.read(lambda desk: desk.index.search(Question(limit=1)))
    assert [(one.id, one.issuer) for one in found] == [(theirs.id, theirs.issuer)]


async def test_statements_of_one_second_stand_beside_one_another(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "place_of", lambda entry: 7 << 29)
    same = [Entry(f"urn:x:{n}", ISSUERS[0], "T", "", "", FIRST, "zQm", frozenset({"w"})) for n in range(20)]

    def work(desk: Desk) -> list[Entry]:
        desk.index.keep_source(Source(ISSUERS[0], "https://x.example"))
        desk.index.add(same[:10])
        desk.index.add(same[5:])
        return desk.index.search(Question(words=frozenset({"w"}), limit=100))

    found = await store.write(work)
    assert {one.id for one in found} == {one.id for one in same}
    assert len({one.place for one in found}) == 20


HOSTILE = ('"', "a* OR b", "NEAR(a b)", "words:x", "^x", "'; DROP TABLE indexed; --", "{x}", "\\", "%", "a-b")


@pytest.mark.parametrize("word", HOSTILE)
async def test_a_word_is_nothing_but_a_word(store: SqlStore, indexed: list[Entry], word: str) -> None:
    question = Question(words=frozenset({word.replace(" ", "_")}))
    assert await store.read(lambda desk: desk.index.search(question)) == []


async def test_a_search_that_takes_too_long_is_given_up_in_words(
    store: SqlStore, indexed: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    if store._readers._engine.dialect.name == "sqlite":
        monkeypatch.setattr(index, "LONGEST_S", 0.0)
        monkeypatch.setattr(index, "_STEPS", 1)
        with pytest.raises(Unavailable, match="takes too long"):
            await store.read(lambda desk: desk.index.search(Question(words=frozenset({"m:leaf"}))))
    else:
        from sqlalchemy import text

        def slow(desk: Desk) -> None:
            with desk.index._limited(0.05):  # type: ignore[attr-defined]
                desk.index._rows(text("SELECT pg_sleep(30)"))  # type: ignore[attr-defined]

        with pytest.raises(Unavailable, match="takes too long"):
            await store.read(slow)
    monkeypatch.undo()
    assert await store.read(lambda desk: desk.index.search(Question(limit=1)))

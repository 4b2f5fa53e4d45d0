"""Models on the pages: adopted by a file, shown with their card in both languages, given away as a file."""

import json

import aiohttp
import pytest

from analysis.soh.model import Model, train
from analysis.soh.table import read
from credentials.resolution import KeyResolver
from governance.models import read_model, signer_of
from instruments.spectra import SIMULATED, example_table

from .conftest import Town
from .test_pages import form_of
from .world import Browser, browsing

CELLS = "warwick-5ah"


@pytest.fixture(scope="module")
def model() -> Model:
    return train(read(example_table(), CELLS), CELLS, source=SIMULATED)


async def adopt(browser: Browser, text: str) -> tuple[str, int]:
    """Fill in the form with a file, as a person does."""
    given = form_of(await browser.get("/do/adopt-model"))
    form = aiohttp.FormData([(name, one) for name, values in given.items() for one in values])
    form.add_field("file", text, filename="model.json", content_type="application/json")
    form.add_field("ours", "yes")
    async with browser.client.post("/do/adopt-model", data=form, allow_redirects=False) as answer:
        return answer.headers.get("Location", await answer.text()), answer.status


async def test_a_model_comes_as_a_file_and_is_shown_with_its_card(town: Town, model: Model) -> None:
    async with browsing(town.collector, "chief") as browser:
        assert "No model yet" in await browser.get("/models")
        where, status = await adopt(browser, json.dumps({"model": model.document}))
        assert (where, status) == ("/?done=adopt-model", 303)
        page = await browser.get("/models")
        assert SIMULATED in page
        assert model.card["training"] in page
        assert "Set a model aside" in page
    async with browsing(town.collector, "chief", language="ja") as browser:
        page = await browser.get("/models")
        assert "新品比 80.46～100 %" in page
        assert "容量の実測を求める規格" in page


async def test_what_is_no_model_is_refused_in_the_form(town: Town) -> None:
    async with browsing(town.collector, "chief") as browser:
        for text in ("{}", "[1]", "not JSON", '{"model": {"format": "x"}}'):
            page, status = await adopt(browser, text)
            assert status == 422
            assert "Adopt a model" in page


async def test_the_file_given_away_is_one_that_others_can_adopt(town: Town, model: Model) -> None:
    await town.collector.do("adopt-model", file={"model": model.document}, ours=True)
    async with browsing(town.collector, "chief") as browser:
        (shown,) = json.loads(await browser.get("/api/v1/models"))
        content = json.loads(await browser.get(f"/api/v1/models/{shown['digest']}"))
        await browser.get("/api/v1/models/sha256:0", status=404)
    again, credential = read_model(content)
    assert again.digest == model.digest == shown["digest"]
    assert credential is not None
    now = await town.collector.store.read(lambda desk: desk.now)
    assert signer_of(again, credential, KeyResolver(), now) == town.collector.did

"""What the pages say of a statement that was revoked or suspended, and what its issuer may do about it."""

import json

from schemas.claims import CLAIMS

from .conftest import Town
from .world import browsing

HISTORY = "VehicleHistory"


async def stated(town: Town) -> tuple[str, str]:
    """Have the dismantler state something of a pack; return the pack's code and the statement's id."""
    thread = await town.request()
    exchange = await town.dismantler.store.read(lambda desk: desk.exchange(thread))
    assert exchange is not None
    code = exchange.said[0].message.pack  # type: ignore[attr-defined]
    (held,) = await town.dismantler.store.read(lambda desk: desk.credentials(code, HISTORY))
    return code, held.id


async def test_a_revoked_statement_is_shown_as_such_with_the_reason_to_its_issuer(town: Town) -> None:
    assert HISTORY in CLAIMS
    code, id = await stated(town)
    async with browsing(town.dismantler, "chief") as browser:
        page = await browser.get(f"/items/{code}")
        assert f"/do/revoke-credential?credential={id.replace(':', '%3A')}" in page
        assert "It was revoked" not in page
        form = await browser.get(f"/do/revoke-credential?credential={id}")
        assert id in form
    await town.dismantler.do("revoke-credential", credential=id, reason="the display was misread")
    async with browsing(town.dismantler, "chief") as browser:
        page = await browser.get(f"/items/{code}")
        for words in ("It was revoked by its issuer.", "the display was misread", "Known here since"):
            assert words in page
        assert "/do/revoke-credential?credential=" + id.replace(":", "%3A") not in page
        found = json.loads(await browser.get(f"/api/v1/credentials/{id}"))
        assert (found["verified"], found["standing"]["what"], found["marks"]) == (False, "revoked", [])
        assert "Revoke a statement" not in await browser.get("/new")
    async with browsing(town.dismantler, "chief", language="ja") as browser:
        page = await browser.get(f"/items/{code}")
        assert "発行者により失効とされています" in page


async def test_a_suspended_statement_offers_its_issuer_to_put_it_in_force_again(town: Town) -> None:
    code, id = await stated(town)
    await town.dismantler.do("suspend-credential", credential=id, reason="under review")
    async with browsing(town.dismantler, "chief") as browser:
        page = await browser.get(f"/items/{code}")
        assert "It is suspended by its issuer." in page
        assert "/do/reinstate-credential?credential=" in page
    await town.dismantler.do("reinstate-credential", credential=id, reason="reviewed")
    async with browsing(town.dismantler, "chief") as browser:
        assert "suspended by its issuer" not in await browser.get(f"/items/{code}")

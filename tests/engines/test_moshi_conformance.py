"""The suite that every backend is examined by, on the one for Moshi's own servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from locara.testing.conformance_backend import examine_backend

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines.moshi_servers import serving, speaking
    from tests.engines.moshi_talk import PLEX, make
else:
    from moshi_servers import serving, speaking
    from moshi_talk import PLEX, make


@pytest.mark.parametrize("dialect", ["moshi-backend", "personaplex"])
def test_it_keeps_the_contract_of_all_backends(dialect: Any) -> None:
    async def main() -> None:
        async with serving(speaking(dialect, words="")) as (url, _):
            outcomes = await examine_backend(lambda: make(url, PLEX if dialect == "personaplex" else {}))
            assert [one for one in outcomes if one.verdict == "failed"] == []

    asyncio.run(main())

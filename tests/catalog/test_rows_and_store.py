"""Every row of the catalog, as the store sees it: nothing is fetched, but everything is asked that a pull asks first."""

from __future__ import annotations

from pathlib import Path

import pytest

from locara.catalog import hub, index
from locara.catalog.connecting import allowed
from locara.catalog.pulling import refuse_name
from locara.catalog.row import Row
from locara.catalog.store import Store

ROWS = [row for row in index.rows({}) if row.files]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_names_files_that_a_pull_would_take(row: Row, tmp_path: Path) -> None:
    store = Store(tmp_path, environment={"HF_HOME": str(tmp_path / "hf")})

    assert store.present(row) is None
    assert store.folder(row).parent == tmp_path / row.id
    for file in row.files:
        refuse_name(row, file)
        assert allowed(hub.address(row, file, {}))


def test_two_rows_never_share_a_folder() -> None:
    store = Store("models", environment={})

    assert len({str(store.place(row)).lower() for row in ROWS}) == len(ROWS)

"""The rows as data equal the reference, field for field."""

import json
from pathlib import Path

import pytest

from bandwise.errors import BandwiseError
from bandwise.models.registry import list_systems, resolve_config
from bandwise.paper import ROWS, get_row, table_rows

REFERENCE = Path(__file__).resolve().parents[1] / ".." / "shared" / "reference" / "rows.json"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference figures (shared/) are not here")
def test_every_field_of_every_row():
    rows = json.loads(REFERENCE.read_text())
    assert len(rows) == len(ROWS) == 27
    for expected in rows:
        mine = ROWS[expected["row"]]
        for key, value in expected.items():
            assert getattr(mine, key) == value, (expected["row"], key)
        if expected["row"] > 4:  # nothing is claimed beyond the reference
            assert set(mine.as_dict()) == {key for key, value in expected.items() if value is not None} | (
                {"note"} if expected["row"] == 21 else set()
            )


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.bands], ids=lambda row: row.name)
def test_models_are_built_as_the_rows_say(row):
    config = resolve_config(row.name)
    assert (config.continuous, config.stop, config.bands) == (row.continuous, row.stop, row.bands)
    assert {"kind": config.aggregation, "width": config.aggregation_width} == row.last_conv
    layout = config.layout()
    assert layout[0].stop - layout[0].start == row.band_width
    if row.bands > 1:
        assert layout[1].start == row.band_hop


def test_rows_are_found_by_any_spelling():
    assert get_row("#15") is get_row(15) is get_row("15")
    with pytest.raises(BandwiseError, match="no row '#28'"):
        get_row("#28")
    assert [row.row for row in table_rows(3)] == list(range(17, 28))
    with pytest.raises(BandwiseError, match="tables are 2"):
        table_rows(1)
    assert {row.system for row in ROWS.values() if row.row > 3} <= set(list_systems())

"""Labels as a Parquet table (extra ``parquet``): typed columns, for whoever reads them into a data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("reviewer", "specimen", "reason", "note", "utc", "batch", "item", "how", "view", "injected")
        ),
        *((name, pa.int64()) for name in ("blind", "revised", "target", "exposure_id", "rank")),
        *((name, pa.bool_()) for name in ("trains", "seen")),
        *(
            (name, pa.float64())
            for name in (
                "inclusion_probability",
                "x_nm",
                "y_nm",
                "width_nm",
                "height_nm",
                "score",
                "q_value",
                "looked_s",
            )
        ),
        ("streams", pa.list_(pa.string())),
    ]
)


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One row a label, as ``review.export.label_rows`` gives them; what is not known is null. Raises OSError."""
    parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA), path)

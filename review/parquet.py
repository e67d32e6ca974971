"""Labels or flags as a Parquet table (extra ``parquet``): typed columns, for whoever reads them into a data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LABELS = pa.schema(
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


FLAGS = pa.schema(
    [
        *((name, pa.int64()) for name in ("rank", "target", "exposure_id")),
        *((name, pa.string()) for name in ("specimen", "reason", "contributions")),
        *((name, pa.float64()) for name in ("x_nm", "y_nm", "width_nm", "height_nm", "score", "p_value", "q_value")),
        *((name, pa.float64()) for name in ("surprise", "expected_verdict")),
        ("tags", pa.list_(pa.string())),
        *((name, pa.list_(pa.int64())) for name in ("sites", "by_control")),
    ]
)


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path, schema: pa.Schema = LABELS) -> None:
    """One row a label or, with ``FLAGS``, a flag, as ``review.export`` gives them; what is not known is null.

    Raises OSError.
    """
    parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), path)

"""The columns of a data set on disk: the figure record as parquet types, and as `datasets` describes them."""

import json
from typing import Any

import pyarrow as pa

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
_BOX = pa.list_(pa.float64())
FIGURES = pa.schema(
    [
        ("id", _TEXT),
        ("image", pa.struct([("bytes", pa.binary()), ("path", _TEXT)])),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("kind", _TEXT),
        ("label", _TEXT),
        ("caption", _TEXT),
        (
            "ocr",
            pa.list_(
                pa.struct(
                    [
                        ("text", _TEXT),
                        ("box", _BOX),
                        ("confidence", pa.float64()),
                        ("role", _TEXT),
                        ("orientation", pa.int32()),
                        ("source", _TEXT),
                        ("panel", _TEXT),
                        ("value", pa.float64()),
                    ]
                )
            ),
        ),
        ("mentions", _TEXTS),
        ("panels", pa.list_(pa.struct([("letter", _TEXT), ("caption", _TEXT), ("box", _BOX)]))),
        (
            "paper",
            pa.struct(
                [
                    ("id", _TEXT),
                    ("title", _TEXT),
                    ("abstract", _TEXT),
                    ("categories", _TEXTS),
                    ("licence", _TEXT),
                    ("page", pa.int32()),
                    ("box", _BOX),
                    ("route", _TEXT),
                    ("confidence", pa.float64()),
                    ("disagreements", _TEXTS),
                ]
            ),
        ),
        ("table", pa.struct([("header", _TEXTS), ("rows", pa.list_(_TEXTS)), ("title", _TEXT)])),
        ("turns", pa.list_(pa.struct([("role", _TEXT), ("text", _TEXT), ("references", _TEXTS)]))),
        ("source", _TEXT),
        ("licence", _TEXT),
        ("split", _TEXT),
    ]
)
DROPPED = pa.schema([("item", _TEXT), ("reason", _TEXT), ("detail", _TEXT)])


def with_features(schema: pa.Schema) -> pa.Schema:
    """The schema with `datasets`' own description, so that load_dataset decodes the image column."""

    def feature(kind: pa.DataType) -> dict[str, Any]:
        if pa.types.is_struct(kind):
            return {field.name: feature(field.type) for field in kind}
        if pa.types.is_list(kind):
            return {"feature": feature(kind.value_type), "_type": "List"}
        return {"dtype": "float64" if kind == pa.float64() else str(kind), "_type": "Value"}

    features = {field.name: {"_type": "Image"} if field.name == "image" else feature(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})

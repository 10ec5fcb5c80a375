"""Arrays as Postgres reads them in binary, made at once.

The driver makes arrays element by element and looks at each element's type: for a thousand chunks
that takes longer than Postgres takes to write them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

_HEADER: Final = Struct(">iiIii")
_LENGTH: Final = Struct(">i")
_NULL: Final = _LENGTH.pack(-1)

#: Object ids of element types, the same in every Postgres.
_BYTEA, _INTEGER, _TEXT, _JSONB = 17, 23, 25, 3802
#: A jsonb in binary is this and its text.
_JSONB_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """An array of one dimension in Postgres' binary format; the statement says of which type."""

    data: bytes


class BinaryArrayDumper(Dumper):
    """Hands binary arrays over as they are; to be registered on the cursor that sends them."""

    format = pq.Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        """Return the bytes."""
        return obj.data


def text_array(values: Iterable[str | None]) -> BinaryArray:
    """Return a text []."""
    return _array(_TEXT, [None if value is None else value.encode() for value in values])


def bytea_array(values: Iterable[bytes | None]) -> BinaryArray:
    """Return a bytea []."""
    return _array(_BYTEA, list(values))


def jsonb_array(documents: Iterable[str]) -> BinaryArray:
    """Return a jsonb [] of JSON texts."""
    return _array(_JSONB, [_JSONB_VERSION + document.encode() for document in documents])


def integer_array(values: Sequence[int]) -> BinaryArray:
    """Return an integer []."""
    elements = np.empty((len(values), 2), dtype=">i4")
    elements[:, 0] = 4
    elements[:, 1] = values
    return BinaryArray(_head(_INTEGER, len(values)) + elements.tobytes())


def vector_array(vectors: Sequence[NDArray[np.float32] | None], vector_oid: int) -> BinaryArray:
    """Return a vector [] of pgvector, whose type has that object id in this database."""
    return _array(vector_oid, [None if vector is None else _vector(vector) for vector in vectors])


def _vector(vector: NDArray[np.float32]) -> bytes:
    return _VECTOR_HEADER.pack(len(vector), 0) + vector.astype(">f4").tobytes()


_VECTOR_HEADER: Final = Struct(">HH")


def _array(element_oid: int, elements: Sequence[bytes | None]) -> BinaryArray:
    parts = [_head(element_oid, len(elements), nulls=None in elements)]
    for element in elements:
        if element is None:
            parts.append(_NULL)
        else:
            parts.append(_LENGTH.pack(len(element)))
            parts.append(element)
    return BinaryArray(b"".join(parts))


def _head(element_oid: int, length: int, *, nulls: bool = False) -> bytes:
    """Return dimensions, whether there are NULLs, the type, the length and the first index."""
    if length == 0:
        return _HEADER.pack(0, 0, element_oid, 0, 0)[: 3 * 4]
    return _HEADER.pack(1, nulls, element_oid, length, 1)

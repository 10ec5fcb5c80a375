"""A new collection's searches weigh words more where the embedding model cannot read the text."""

import pytest

from service.collections.collection import (
    FOREIGN_LEXICAL_WEIGHT,
    CollectionPlan,
    create_collection,
)
from service.collections.profile import read_profile
from service.db.connection import Connection


@pytest.mark.parametrize(
    ("config", "weight"), [("english", None), ("arabic", FOREIGN_LEXICAL_WEIGHT)]
)
def test_the_lexical_weight_to_start_with(
    connection: Connection, config: str, weight: float | None
) -> None:
    create_collection(connection, CollectionPlan("papers", text_search_config=config))
    assert read_profile(connection, "papers").lexical_weight == weight

"""Documents of several languages in one collection, through a real worker."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.db.connection import connect
from tests.support.stack import RealStack

TEXTS = {
    "kiln": "Raise the temperature slowly, so that moisture can leave the clay without cracking.",
    "ofen": "Die Häuser am Fluss wurden lange vor den großen Brücken gebaut.",
    "窑": "慢慢升高温度，使水分离开黏土而不致开裂。",  # noqa: RUF001  as Chinese writes a comma
}


@pytest.fixture
def many_languages(http: httpx.Client) -> Iterator[str]:
    name = "many-languages"
    made = http.post("/collections", json={"name": name, "text_search_config": "auto"})
    assert made.status_code == 201
    yield name
    http.delete(f"/collections/{name}")


def test_a_worker_tells_every_documents_language(
    http: httpx.Client, stack: RealStack, many_languages: str
) -> None:
    documents: list[dict[str, Any]] = [{"id": name, "text": text} for name, text in TEXTS.items()]
    documents.append({"id": "named", "text": "1 2 3 casas", "metadata": {"language": "es"}})
    written = http.post(
        f"/collections/{many_languages}/documents", json={"documents": documents, "wait": True}
    )
    assert written.status_code == 200, written.text
    with connect(stack.record.database_url) as connection:
        found = connection.execute(
            "SELECT document_id, tsvector_to_array(lexemes) FROM rankgres.chunk "
            "JOIN rankgres.generation ON generation.id = generation_id "
            "JOIN rankgres.collection ON collection.id = collection_id WHERE collection.name = %s",
            [many_languages],
        ).fetchall()
        lexemes = {name: set(words) for name, words in found}
        configs = connection.execute(
            "SELECT rankgres.generation_configs_v1(generation.id) FROM rankgres.generation "
            "JOIN rankgres.collection ON collection.id = collection_id WHERE collection.name = %s",
            [many_languages],
        ).fetchone()
    assert lexemes["kiln"] >= {"rais", "slowli", "crack"}
    assert lexemes["ofen"] >= {"haus", "bruck", "gebaut"}
    assert lexemes["窑"] >= {"升高", "高温", "温度"}
    assert lexemes["named"] >= {"cas"}
    assert configs == (["english", "german", "simple", "spanish"],)

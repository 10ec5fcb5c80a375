import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.db.connection import connect
from tests.support.stack import RealStack

METHODS = {"get", "post", "put", "patch", "delete"}
ADDRESSES = {
    ("post", "/collections"),
    ("get", "/collections"),
    ("get", "/collections/{collection}"),
    ("delete", "/collections/{collection}"),
    ("post", "/collections/{collection}/preflight"),
    ("post", "/collections/{collection}/attach"),
    ("post", "/collections/{collection}/detach"),
    ("post", "/collections/{collection}/pause"),
    ("post", "/collections/{collection}/resume"),
    ("post", "/collections/{collection}/verify"),
    ("get", "/collections/{collection}/dead"),
    ("post", "/collections/{collection}/retry"),
    ("post", "/collections/{collection}/search"),
    ("get", "/collections/{collection}/suggest"),
    ("post", "/collections/{collection}/documents"),
    ("post", "/collections/{collection}/documents/delete"),
    ("get", "/collections/{collection}/documents/{document_id}"),
    ("delete", "/collections/{collection}/documents/{document_id}"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
}


@pytest.fixture(scope="module")
def openapi(http: httpx.Client) -> Any:
    return http.get("/openapi.json").json()


def operations(openapi: Any) -> dict[tuple[str, str], Any]:
    return {
        (method, path): operation
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_address_is_there_with_a_sentence_about_it(openapi: Any) -> None:
    found = operations(openapi)
    assert set(found) == ADDRESSES
    assert all(operation["description"].endswith(".") for operation in found.values())


@pytest.fixture
def articles(stack: RealStack) -> Iterator[None]:
    """The table that the examples attach."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE public.articles (id integer PRIMARY KEY, title text, summary text, "
            "body text, tenant_id integer, published_at timestamptz, tags text [])"
        )
        yield
        connection.execute("DROP TABLE public.articles")


@pytest.mark.usefixtures("articles")
def test_every_body_has_an_example_that_the_service_takes(http: httpx.Client, openapi: Any) -> None:
    bodies = 0
    http.post("/collections", json={"name": "examples"})
    for (method, path), operation in operations(openapi).items():
        if "requestBody" not in operation:
            continue
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = openapi["components"]["schemas"][reference.rpartition("/")[2]]
        assert schema["examples"], path
        for example in schema["examples"]:
            attaching = path.rpartition("/")[2] in {"preflight", "attach", "detach"}
            address = path.replace("{collection}", "attached" if attaching else "examples")
            answer = http.request(method, address, json=example)
            assert answer.status_code in {200, 201, 204}, answer.text
            bodies += 1
    assert bodies >= 5
    for name in ("examples", "articles", "artikel"):
        assert http.delete(f"/collections/{name}").status_code == 204


def test_every_field_that_is_sent_is_described(openapi: Any) -> None:
    schemas = openapi["components"]["schemas"]
    silent = {
        f"{name}.{field}"
        for name in (
            "SearchBody",
            "CollectionBody",
            "UpsertBody",
            "DocumentBody",
            "DeleteBody",
            "AttachBody",
            "DetachBody",
            "VerifyBody",
            "RetryBody",
        )
        for field, schema in schemas[name]["properties"].items()
        if not schema.get("description")
    }
    assert silent == set()


def test_errors_are_described_as_the_problems_they_are(openapi: Any) -> None:
    for (_, path), operation in operations(openapi).items():
        if not path.startswith("/collections"):
            continue
        for status in ("404", "422", "503"):
            content = operation["responses"][status]["content"]
            assert set(content) == {"application/problem+json"}, path
    assert "HTTPValidationError" not in openapi["components"]["schemas"]


def test_the_page_needs_no_other_host(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sources
    for source in sources:
        assert "//" not in source
        assert http.get(source).status_code == 200

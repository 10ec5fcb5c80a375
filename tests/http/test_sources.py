"""Tables that are attached over HTTP: preflight, follow, pause, verify, dead letters, detach."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.db.connection import Connection, connect
from tests.support.stack import RealStack
from tests.support.waiting import eventually

LONG = " ".join(f"Sentence number {number} tells of the tides." for number in range(200))


@pytest.fixture
def database(stack: RealStack) -> Iterator[Connection]:
    """A connection that commits at once, as another application's."""
    with connect(stack.record.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def shop(database: Connection) -> Iterator[Connection]:
    """A schema with a table of products: three that belong, one of them long, and a draft."""
    database.execute("CREATE SCHEMA shop")
    database.execute(
        "CREATE TABLE shop.product (sku text PRIMARY KEY, name text, body text, price numeric, "
        "draft boolean NOT NULL DEFAULT false, stock integer)"
    )
    database.execute(
        "INSERT INTO shop.product (sku, name, body, price, draft) VALUES "
        "('a', 'Lamp', '<p>Lights a <b>room</b>.</p>', 10, false), "
        "('b', 'Tide table', %s, 20, false), ('c', 'Kettle', 'Boils water.', 30, false), "
        "('d', 'Secret', 'Not told yet.', 40, true)",
        [LONG],
    )
    yield database
    database.execute("DROP SCHEMA shop CASCADE")


@pytest.fixture
def name(http: httpx.Client) -> Iterator[str]:
    """The name of a collection to be, dropped at the end."""
    name = f"shop-{uuid4().hex}"
    yield name
    http.delete(f"/collections/{name}")


def body(**options: Any) -> dict[str, Any]:
    return {
        "relation": "shop.product",
        "title": "name",
        "text": ["body"],
        "text_format": "html",
        "filters": ["price"],
        "where": "NOT draft",
        **options,
    }


@pytest.fixture
def attached(http: httpx.Client, shop: Connection, name: str) -> str:  # noqa: ARG001  its table
    """A collection attached to the shop, drained."""
    answer = http.post(f"/collections/{name}/attach", json=body())
    assert answer.status_code == 201, answer.text
    wait_drained(http, name)
    return name


def shown(http: httpx.Client, name: str) -> Any:
    return http.get(f"/collections/{name}").json()


def wait_drained(http: httpx.Client, name: str) -> None:
    def drained() -> bool:
        view = shown(http, name)
        left = (view["backfill_total"] or 0) - (view["backfill_done"] or 0)
        return not (view["pending"] + view["leased"] + left)

    eventually(drained, f"{name} drained")


def wait_queued(database: Connection, document_id: str) -> None:
    """Wait until the relay has moved a change to the outbox."""
    eventually(
        lambda: (
            database.execute(
                "SELECT FROM rankgres.outbox WHERE document_id = %s", [document_id]
            ).rowcount
        ),
        f"{document_id} is queued",
    )


def found(http: httpx.Client, name: str, query: str) -> list[str]:
    asked = {"query": query, "mode": "lexical", "rerank": False}
    answer = http.post(f"/collections/{name}/search", json=asked)
    return [result["id"] for result in answer.json()["results"]]


def verified(http: httpx.Client, name: str, *, repair: bool = False) -> Any:
    return http.post(f"/collections/{name}/verify", json={"repair": repair}).json()


def triggers(database: Connection) -> int:
    row = database.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.product'::regclass "
        "AND NOT tgisinternal"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_rows_are_searchable_and_follow_the_table(
    http: httpx.Client, shop: Connection, attached: str
) -> None:
    view = shown(http, attached)
    assert (view["source"], view["documents"], view["paused"]) == ("shop.product", 3, False)
    assert view["backfill_done"] == view["backfill_total"]
    assert found(http, attached, "room") == ["a"]
    assert found(http, attached, "secret") == []
    shop.execute("UPDATE shop.product SET draft = NOT draft WHERE sku IN ('a', 'd')")
    eventually(lambda: found(http, attached, "secret") == ["d"], "the draft is searchable")
    wait_drained(http, attached)
    assert found(http, attached, "room") == []
    assert verified(http, attached)["findings"] == []


@pytest.mark.usefixtures("shop")
def test_a_preflight_tells_what_attaching_costs_and_attaches_nothing(
    http: httpx.Client, database: Connection, name: str
) -> None:
    answer = http.post(f"/collections/{name}/preflight", json=body())
    assert answer.status_code == 200, answer.text
    flight = answer.json()
    assert flight["found"] == flight["found"] | {
        "relation": "shop.product",
        "key_columns": ["sku"],
        "title_column": "name",
        "text_columns": ["body"],
        "filter_columns": ["price"],
        "sync": "triggers",
    }
    assert (flight["rows"], flight["counted"], flight["sampled"]) == (3, True, 3)
    assert flight["split_share"] == pytest.approx(1 / 3)
    assert flight["measured"]
    assert flight["chunks"] > 3
    assert flight["disk_bytes"] > flight["memory_bytes"] > 0
    assert flight["seconds"] == pytest.approx(flight["chunks"] / flight["chunks_per_second"])
    assert http.get(f"/collections/{name}").status_code == 404
    assert triggers(database) == 0


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("address", ["preflight", "attach"])
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"relation": "shop.nothing"}, "relation"),
        ({"relation": "pg_catalog.pg_class", "where": None}, "relation"),
        ({"text": ["boddy"]}, "text"),
        ({"filters": ["colour"]}, "filters"),
        ({"key": ["name"]}, "key"),
        ({"where": "price > now()"}, "where"),
        ({"text": None, "template": "{name"}, "template"),
        ({"compare_every": "now and then"}, None),
        ({"embedding_model": "nobody/nothing"}, "embedding_model"),
        ({"chunk_tokens": 100_000}, "chunk_tokens"),
        ({"text_search_config": "klingon"}, "text_search_config"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_attached_is_told_with_field_and_mend(
    http: httpx.Client, name: str, address: str, wrong: Any, field: str | None
) -> None:
    answer = http.post(f"/collections/{name}/{address}", json=body(**wrong))
    problem = answer.json()
    assert (answer.status_code, problem.get("field")) == (422, field), problem
    assert problem["detail"]
    assert problem["mend"]
    assert http.get(f"/collections/{name}").status_code == 404


def test_a_name_that_is_taken_is_refused(http: httpx.Client, attached: str) -> None:
    answer = http.post(f"/collections/{attached}/attach", json=body())
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/already-exists")


def test_documents_of_an_attached_collection_are_not_written_here(
    http: httpx.Client, attached: str
) -> None:
    documents = f"/collections/{attached}/documents"
    answers = [
        http.post(documents, json={"documents": [{"id": "x", "text": "x"}]}),
        http.post(f"{documents}/delete", json={"ids": ["a"]}),
        http.delete(f"{documents}/a"),
    ]
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["field"]) == (422, "collection")
        assert "is attached to shop.product" in problem["detail"]
        assert problem["mend"].startswith("write to shop.product")
    assert http.get(f"{documents}/a").json()["title"] == "Lamp"
    assert found(http, attached, "room") == ["a"]


def test_a_paused_collection_is_indexed_once_it_is_resumed(
    http: httpx.Client, shop: Connection, attached: str
) -> None:
    assert http.post(f"/collections/{attached}/pause").json()["paused"]
    shop.execute("UPDATE shop.product SET body = 'Sings.' WHERE sku = 'c'")
    eventually(lambda: shown(http, attached)["pending"] == 1, "the change is queued")
    assert verified(http, attached)["findings"] == [
        {"kind": "pending", "documents": 1, "examples": ["c"]}
    ]
    assert found(http, attached, "sings") == []
    assert not http.post(f"/collections/{attached}/resume").json()["paused"]
    eventually(lambda: found(http, attached, "sings") == ["c"], "the change is searchable")


def test_a_difference_is_found_and_repaired(
    http: httpx.Client, shop: Connection, attached: str
) -> None:
    shop.execute("ALTER TABLE shop.product DISABLE TRIGGER USER")
    shop.execute("UPDATE shop.product SET body = 'Whistles.' WHERE sku = 'c'")
    shop.execute("ALTER TABLE shop.product ENABLE TRIGGER USER")
    seen = verified(http, attached)
    assert seen["findings"] == [{"kind": "stale", "documents": 1, "examples": ["c"]}]
    assert (seen["differences"], seen["queued"], seen["remaining"]) == (1, 0, 1)
    mended = verified(http, attached, repair=True)
    assert (mended["queued"], mended["remaining"]) == (1, 0)
    eventually(lambda: found(http, attached, "whistles") == ["c"], "the repair is searchable")
    wait_drained(http, attached)
    assert verified(http, attached)["findings"] == []


def test_a_dead_letter_is_told_and_tried_again(
    http: httpx.Client, shop: Connection, attached: str
) -> None:
    http.post(f"/collections/{attached}/pause")
    shop.execute("UPDATE shop.product SET body = 'Poison.' WHERE sku = 'c'")
    wait_queued(shop, "c")
    shop.execute(
        "UPDATE rankgres.outbox SET dead_at = now(), attempts = 5, last_error = 'it broke' "
        "WHERE document_id = 'c'"
    )
    [letter] = http.get(f"/collections/{attached}/dead").json()
    assert (letter["document_id"], letter["attempts"], letter["last_error"]) == ("c", 5, "it broke")
    assert letter["dead_at"]
    assert letter["next_try_at"] is None
    assert shown(http, attached)["dead"] == 1
    retry = f"/collections/{attached}/retry"
    assert http.post(retry, json={"ids": ["nope"]}).json() == {"retried": 0}
    assert http.post(retry, json={"ids": ["c", "nope"]}).json() == {"retried": 1}
    http.post(f"/collections/{attached}/resume")
    eventually(lambda: found(http, attached, "poison") == ["c"], "the document is searchable")
    assert http.get(f"/collections/{attached}/dead").json() == []


def test_a_materialised_view_is_followed_by_comparison(
    http: httpx.Client, shop: Connection, name: str, stack: RealStack
) -> None:
    shop.execute(
        "CREATE MATERIALIZED VIEW shop.cheap AS SELECT * FROM shop.product WHERE price < 25"
    )
    shop.execute("CREATE UNIQUE INDEX ON shop.cheap (sku)")
    options = body(relation="shop.cheap", compare_every="1 second")
    with stack.paused("worker-embed"):  # or it may be done with it before anybody looks
        assert http.post(f"/collections/{name}/attach", json=options).status_code == 201
        # What waits to be compared counts as waiting.
        assert shown(http, name)["pending"] >= 1
    wait_drained(http, name)
    assert found(http, name, "room") == ["a"]
    shop.execute("UPDATE shop.product SET price = 5 WHERE sku = 'c'")
    shop.execute("REFRESH MATERIALIZED VIEW shop.cheap")
    eventually(lambda: found(http, name, "kettle") == ["c"], "the view's row is searchable")


@pytest.mark.parametrize("keep", [False, True])
def test_detaching_leaves_the_table_as_it_was(
    http: httpx.Client, shop: Connection, attached: str, keep: bool
) -> None:
    assert triggers(shop) == 4
    detached = http.post(f"/collections/{attached}/detach", json={"keep": keep})
    assert detached.status_code == 204, detached.text
    assert triggers(shop) == 0
    if keep:
        assert found(http, attached, "room") == ["a"]
        assert verified(http, attached)["findings"] == []
        assert shown(http, attached)["source"] is None
    else:
        assert http.get(f"/collections/{attached}").status_code == 404


def test_dropping_an_attached_collection_takes_its_triggers_along(
    http: httpx.Client, shop: Connection, attached: str
) -> None:
    assert http.delete(f"/collections/{attached}").status_code == 204
    assert triggers(shop) == 0
    shop.execute("UPDATE shop.product SET body = 'Free again.'")


@pytest.mark.parametrize(
    ("method", "address", "sent"),
    [
        ("post", "detach", {}),
        ("post", "pause", None),
        ("post", "resume", None),
        ("post", "verify", {}),
        ("get", "dead", None),
        ("post", "retry", {}),
    ],
)
def test_a_collection_that_is_not_there_is_named(
    http: httpx.Client, method: str, address: str, sent: Any
) -> None:
    answer = http.request(method, f"/collections/nope/{address}", json=sent)
    assert (answer.status_code, answer.json()["field"]) == (404, "collection")

"""From a real collection and its labels to lists: mined once, and gone on with."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from service.db.connection import connect
from service.errors import InvalidInputError
from service.model_cards import DEFAULT_ENCODER
from service.settings import Settings, get_settings
from tests.support.collections import chunk, make_collection, replace_chunks
from tests.training.small_jobs import small_job, small_recipe
from workers.inference.encoder import load_encoder
from workers.training.gathering import Sources, gather
from workers.training.mining import MiningRules
from workers.training.ranking_lists import split_lists
from workers.training.whole_job import Wish

TOPICS = {
    "pumps": "A pump moves water from the well to the house by turning a wheel with blades, which "
    "a motor or somebody's arm keeps going",
    "valves": "A valve closes the pipe when the pressure of the water behind it falls too low, and "
    "opens it when it rises again",
    "boilers": "A boiler heats the water of the house with gas until the thermostat is content, "
    "and begins again when the rooms are cold",
    "meters": "A meter counts how much water went through the pipe since it was last read by hand, "
    "which happens once a year",
}


@pytest.fixture
def collection(newest_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collection of four documents, embedded by the real model, at the settings' database."""
    encoder = load_encoder(DEFAULT_ENCODER, get_settings())
    embeddings = encoder.encode(list(TOPICS.values()), "document").embeddings
    encoder.close()
    with connect(newest_database_url) as connection:
        generation = make_collection(
            connection, "house", embedding_model=DEFAULT_ENCODER, embedding_dimension=384
        )
        chunks = [
            chunk(name, f"{text}. Who looks after {name}?", heading=f"About {name} at home",
                  embedding=embedding)
            for (name, text), embedding in zip(TOPICS.items(), embeddings, strict=True)
        ]  # fmt: skip
        replace_chunks(connection, generation, chunks)
    monkeypatch.setenv("RANKGRES_DATABASE_URL", newest_database_url)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def sources(**values: Any) -> Sources:
    usual: dict[str, Any] = {
        "collection": "house",
        "queries": None,
        "qrels": None,
        "log": None,
        "min_clicks": 1,
        "weak": 0,
        "prepared": None,
        "held_out_lists": None,
        "denoise_by": None,
        "rules": MiningRules(depth=10, negatives=3, skip_top=0, most_similar=2),
    }
    return Sources(**usual | values)


def judged(folder: Path) -> dict[str, Path]:
    queries = [{"_id": name, "text": f"what does a thing of {name} do"} for name in TOPICS]
    (folder / "q.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    (folder / "q.tsv").write_text("".join(f"{name}\t{name}\t2\n" for name in TOPICS))
    return {"queries": folder / "q.jsonl", "qrels": folder / "q.tsv"}


@pytest.mark.usefixtures("collection")
def test_judgements_logs_and_weak_labels_become_lists_and_are_mined_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.jsonl").write_text('{"query": "hot water", "clicked": ["boilers"]}\n')
    given = sources(**judged(tmp_path), log=tmp_path / "log.jsonl", weak=100)
    given.check()
    settings = get_settings()
    job = small_job(tmp_path / "job", settings, small_recipe(held_out=0.3))
    gathered = gather(job, given)
    assert gathered is not None
    assert len(gathered.descriptions) == 4
    every = gathered.prepared.lists + gathered.prepared.held_out
    by_query = {each.query: each for each in every}
    assert set(by_query) == {
        *(f"what does a thing of {name} do" for name in TOPICS),
        "hot water",
        *(f"About {name} at home" for name in TOPICS),
        *(f"Who looks after {name}?" for name in TOPICS),
    }
    assert split_lists(every, 0.3) == (gathered.prepared.lists, gathered.prepared.held_out)
    assert all(each.fused for each in gathered.prepared.held_out)
    [positive] = [
        text
        for text, label in zip(
            by_query["hot water"].passages, by_query["hot water"].labels, strict=True
        )
        if label > 0
    ]
    assert positive.startswith("About boilers at home. A boiler heats")
    for name in TOPICS:
        assert not any("Who looks after " + name in text
                       for text in by_query[f"Who looks after {name}?"].passages)  # fmt: skip
    # Nothing is left to ask of the database.
    monkeypatch.setattr("workers.training.mining.Miner.mine", None)
    assert gather(job, given) == gathered


@pytest.mark.usefixtures("collection")
def test_mining_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    given = sources(**judged(tmp_path))
    settings = get_settings()
    whole = gather(small_job(tmp_path / "whole", settings, small_recipe()), given)
    asked = Event()
    asked.set()
    assert gather(small_job(tmp_path / "job", settings, small_recipe(), asked), given) is None
    mined = (tmp_path / "whole" / "mined.jsonl").read_text().splitlines()
    assert len(mined) == len(TOPICS)
    # Killed in the middle of the third line.
    (tmp_path / "job" / "mined.jsonl").write_text("\n".join(mined[:2]) + "\n" + mined[2][:40])
    assert gather(small_job(tmp_path / "job", settings, small_recipe()), given) == whole
    assert (tmp_path / "job" / "mined.jsonl").read_text().splitlines() == mined


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, "nothing to learn from"),
        ({"collection": None, "weak": 3}, "nothing to learn from"),
        ({"queries": Path("q.jsonl")}, "belong together"),
        ({"prepared": Path("lists.jsonl")}, "--prepared has everything"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidInputError, match=wrong):
        sources(**values).check()


@pytest.mark.usefixtures("collection")
def test_documents_that_are_not_there_leave_nothing_to_learn(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"query": "hot water", "clicked": ["gone"]}\n')
    job = small_job(tmp_path / "job", get_settings(), small_recipe())
    with pytest.raises(InvalidInputError, match="nothing to learn from") as caught:
        gather(job, sources(log=tmp_path / "log.jsonl"))
    assert "are in the collection" in (caught.value.mend or "")


@pytest.mark.parametrize(("name", "output"), [(None, None), ("ours", Path("there"))])
def test_a_model_has_a_name_or_a_folder(
    settings: Settings, name: str | None, output: Path | None
) -> None:
    wish = Wish(name, output, None, "", (), restart=False)
    with pytest.raises(InvalidInputError, match="--name or --output"):
        wish.target(settings)

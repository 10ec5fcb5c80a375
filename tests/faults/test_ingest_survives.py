"""Whatever is killed in the middle of an ingest, the index ends equal to the source."""

import signal

from tests.faults.ingestion import Ingestion, made_up_documents
from tests.support.stack import RealStack

COUNT = 400


def test_killing_the_embedding_worker_again_and_again(
    fragile: RealStack, ingestion: Ingestion
) -> None:
    ingestion.write(made_up_documents(COUNT))
    for share in (1, 100, 200):
        ingestion.wait_for(share)
        dead = fragile.kill("worker-embed")
        fragile.wait_back("worker-embed", dead)
    ingestion.wait_drained()
    ingestion.assert_index_equals_source()


def test_stopping_redis_and_starting_it_empty(fragile: RealStack, ingestion: Ingestion) -> None:
    ingestion.write(made_up_documents(COUNT))
    ingestion.wait_for(50)
    with fragile.held_down("redis"):
        # Changes that nobody can be told of are kept all the same.
        ingestion.write(made_up_documents(COUNT + 50)[COUNT:])
    ingestion.wait_drained()
    ingestion.assert_index_equals_source()


def test_killing_postgres(fragile: RealStack, ingestion: Ingestion) -> None:
    ingestion.write(made_up_documents(COUNT))
    ingestion.wait_for(50)
    dead = fragile.send("postgres", signal.SIGQUIT)  # its immediate mode
    fragile.wait_back("postgres", dead)
    ingestion.wait_drained()
    ingestion.assert_index_equals_source()


def test_killing_the_relay(fragile: RealStack, ingestion: Ingestion) -> None:
    ingestion.write(made_up_documents(COUNT // 2))
    ingestion.wait_for(1)
    dead = fragile.kill("relay")
    fragile.wait_back("relay", dead)
    ingestion.write(made_up_documents(COUNT)[COUNT // 2 :])
    ingestion.wait_drained()
    ingestion.assert_index_equals_source()


def test_documents_that_change_while_they_are_ingested(
    fragile: RealStack, ingestion: Ingestion
) -> None:
    ingestion.write(made_up_documents(COUNT))
    for edition in (2, 3, 4):
        ingestion.write(made_up_documents(COUNT, edition)[edition * 20 : edition * 20 + 100])
        ingestion.delete(
            [
                f"d{number:04}"
                for number in range(300 + edition, COUNT, 7)
                if f"d{number:04}" in ingestion.documents
            ]
        )
        if edition == 3:
            dead = fragile.kill("worker-embed")
            fragile.wait_back("worker-embed", dead)
    ingestion.wait_drained()
    ingestion.assert_index_equals_source()

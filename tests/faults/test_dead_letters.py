"""A document that cannot be indexed holds nothing up, and says why."""

from service.ingest.documents import Document
from tests.faults.ingestion import Ingestion, made_up_documents
from tests.support.waiting import eventually


def test_a_poisoned_document_becomes_a_dead_letter_and_the_rest_gets_through(
    ingestion: Ingestion,
) -> None:
    documents = made_up_documents(40)
    with ingestion.connect() as connection:
        generation = ingestion.generation(connection)
        connection.execute(
            f"ALTER TABLE rankgres.chunk_{generation.id} "
            "ADD CONSTRAINT poison CHECK (document_id <> 'd0007' OR text LIKE 'mended%')"
        )
    ingestion.write(documents)
    eventually(lambda: ingestion.status().documents == 39, "the others are searchable")

    def last_try() -> bool:
        """Take the waits between the tries away; the worker does the rest."""
        with ingestion.connect() as connection:
            connection.execute(
                "UPDATE rankgres.outbox SET due_at = clock_timestamp() "
                "WHERE document_id = 'd0007' AND dead_at IS NULL AND lease IS NULL"
            )
        return ingestion.status().dead == 1

    eventually(last_try, "a dead letter")
    with ingestion.connect() as connection:
        row = connection.execute(
            "SELECT attempts, last_error FROM rankgres.outbox WHERE generation_id = %s",
            (generation.id,),
        ).fetchone()
    assert row is not None
    assert row[0] == 6
    assert "poison" in row[1]

    ingestion.write([Document("d0007", "mended, and short")])
    eventually(lambda: ingestion.status().documents == 40, "the mended one is searchable")
    assert ingestion.status().dead == 0

import httpx


def test_a_whole_stack_is_live_and_ready(http: httpx.Client) -> None:
    assert http.get("/health/live").json() == {"status": "live"}
    ready = http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "postgres": True,
        "schema_current": True,
        "redis": True,
        "encode_worker": True,
        "rerank_worker": True,
    }


def test_metrics_come_in_the_text_form_of_prometheus(http: httpx.Client) -> None:
    answer = http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE rankgres_search_stage_seconds histogram" in answer.text

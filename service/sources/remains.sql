-- name: sweep_activity
-- Rates are of the last minute; an hour lets one look back.
DELETE FROM rankgres.indexing_activity WHERE finished_at < clock_timestamp() - interval '1 hour'

-- name: sweep_backfills
-- Told as finished for a day, to whoever looks the next morning.
DELETE FROM rankgres.backfill WHERE finished_at < clock_timestamp() - interval '1 day'

-- name: sweep_changes
-- Changes of sources that were detached: a statement that ran meanwhile may have appended them.
DELETE FROM rankgres.source_change
WHERE NOT EXISTS (
    SELECT FROM rankgres.source WHERE source.collection_id = source_change.collection_id
)

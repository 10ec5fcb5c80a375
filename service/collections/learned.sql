-- name: read
-- What was learned from judgements of a collection, in one row: its rerank profile, and what its
-- scores are worth. A calibration of fused scores counts while the search profile is that of then.
SELECT
    collection.rerank_profile,
    coalesce(
        (
            SELECT jsonb_agg(jsonb_build_object(
                'target', calibration.target,
                'model', calibration.model,
                'method', calibration.method,
                'points', calibration.points,
                'source', format(
                    'rankgres calibrate, %%s judged queries, %%s',
                    calibration.judged_queries,
                    to_char(calibration.fitted_at, 'YYYY-MM-DD')
                )
            ))
            FROM rankgres.calibration
            WHERE calibration.collection_id = collection.id
                AND (
                    calibration.target = 'rerank'
                    OR calibration.model = %(embedding_model)s
                    AND calibration.search_profile = collection.search_profile
                )
        ),
        '[]'
    )
FROM rankgres.collection
WHERE collection.id = %(collection_id)s

-- name: write_rerank_profile
-- Replaces a collection's rerank profile; NULL: defaults.
UPDATE rankgres.collection
SET rerank_profile = %(profile)s
WHERE id = %(collection_id)s

-- name: write_calibration
-- Keeps a calibration in the place of the one that the collection had of that model.
INSERT INTO rankgres.calibration (
    collection_id, target, model, method, points, judged_queries, figures, search_profile
)
SELECT
    collection.id, %(target)s, %(model)s, %(method)s, %(points)s, %(judged_queries)s, %(figures)s,
    collection.search_profile
FROM rankgres.collection
WHERE collection.id = %(collection_id)s
ON CONFLICT (collection_id, target, model) DO UPDATE
SET method = excluded.method,
    points = excluded.points,
    judged_queries = excluded.judged_queries,
    figures = excluded.figures,
    search_profile = excluded.search_profile,
    fitted_at = excluded.fitted_at

-- name: list_calibrations
-- What a collection's scores are worth, with the figures, and whether it still counts.
SELECT
    calibration.target, calibration.model, calibration.method, calibration.points,
    calibration.judged_queries, calibration.figures, calibration.fitted_at,
    calibration.target = 'rerank'
        OR calibration.search_profile = collection.search_profile AS counts
FROM rankgres.calibration
JOIN rankgres.collection ON collection.id = calibration.collection_id
WHERE calibration.collection_id = %(collection_id)s
ORDER BY calibration.target DESC, calibration.model

-- name: remove_calibrations
-- Forgets what a collection's scores are worth.
DELETE FROM rankgres.calibration WHERE collection_id = %(collection_id)s

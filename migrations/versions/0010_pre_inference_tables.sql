-- What is learned from judgements: how scores become a relevance, and how much is reranked.

ALTER TABLE rankgres.collection
    ADD COLUMN rerank_profile jsonb,
    ADD CONSTRAINT collection_rerank_profile_check CHECK (jsonb_typeof(rerank_profile) = 'object');
COMMENT ON COLUMN rankgres.collection.rerank_profile IS
    'Weight, depth and adaptive policy of reranking, for searches that do not say; NULL: defaults.';

-- Read by every search; written when somebody calibrates.
CREATE TABLE rankgres.calibration (
    collection_id bigint NOT NULL CONSTRAINT calibration_collection_id_fkey
        REFERENCES rankgres.collection ON DELETE CASCADE,
    target text NOT NULL,
    model text NOT NULL,
    method text NOT NULL,
    points jsonb NOT NULL,
    judged_queries integer NOT NULL,
    figures jsonb NOT NULL DEFAULT '{}',
    search_profile jsonb NOT NULL,
    fitted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT calibration_pkey PRIMARY KEY (collection_id, target, model),
    CONSTRAINT calibration_target_check CHECK (target IN ('rerank', 'fused')),
    CONSTRAINT calibration_method_check CHECK (method IN ('platt', 'isotonic')),
    CONSTRAINT calibration_points_check CHECK (jsonb_typeof(points) = 'array'),
    CONSTRAINT calibration_judged_queries_check CHECK (judged_queries > 0),
    CONSTRAINT calibration_figures_check CHECK (jsonb_typeof(figures) = 'object')
);
COMMENT ON TABLE rankgres.calibration IS
    'How a score becomes a relevance between 0 and 1, as judgements of a collection have it.';
COMMENT ON COLUMN rankgres.calibration.target IS
    'rerank: the raw score of the cross-encoder "model"; fused: that of the fusion, with the '
    'bi-encoder "model".';
COMMENT ON COLUMN rankgres.calibration.search_profile IS
    'The collection''s when the scores were made: under another one, fused scores mean another thing.';

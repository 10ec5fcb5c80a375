DROP TABLE rankgres.search_snapshot;
DROP TABLE rankgres.generation_language;
ALTER TABLE rankgres.chunk DROP COLUMN textsearch_words;
DROP TABLE rankgres.filter_field;
DROP TYPE rankgres.parsed_query;
DROP TYPE rankgres.fused_document;
ALTER TABLE rankgres.generation
    DROP COLUMN lexical_index,
    DROP COLUMN recall,
    DROP COLUMN recall_k,
    DROP COLUMN recall_measured_at;
ALTER TABLE rankgres.collection DROP COLUMN search_profile;

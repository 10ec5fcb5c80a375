DROP TABLE rankgres.calibration;
ALTER TABLE rankgres.collection DROP COLUMN rerank_profile;

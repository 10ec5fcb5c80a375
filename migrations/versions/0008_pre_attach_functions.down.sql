-- The triggers of attached tables go with their functions: they would fail without our tables.
DO $block$
DECLARE
    written regprocedure;
BEGIN
    FOR written IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'rankgres'::regnamespace
            AND proname ~ '^source_\d+_(insert|update|delete|truncate)$'
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', written);
    END LOOP;
END
$block$;

DROP POLICY chunk_open ON rankgres.chunk;
ALTER TABLE rankgres.chunk DISABLE ROW LEVEL SECURITY;
DROP POLICY lexeme_open ON rankgres.lexeme;
ALTER TABLE rankgres.lexeme DISABLE ROW LEVEL SECURITY;
DROP POLICY lexeme_change_open ON rankgres.lexeme_change;
ALTER TABLE rankgres.lexeme_change DISABLE ROW LEVEL SECURITY;

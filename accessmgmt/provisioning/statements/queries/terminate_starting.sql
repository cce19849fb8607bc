-- Tell processes to end whose start takes too long. One whose sign-in is not judged yet, or that is a superuser's, is
-- not ours to end, and no login's either.
DO $cut$
DECLARE
    process int;
BEGIN
    FOREACH process IN ARRAY {pids}::int[] LOOP
        BEGIN
            PERFORM pg_catalog.pg_terminate_backend(process);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END
$cut$

DO $hold$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[{names}] LOOP
        BEGIN
            EXECUTE 'LOCK TABLE ONLY ' || name || ' IN SHARE UPDATE EXCLUSIVE MODE NOWAIT';
        EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END
$hold$

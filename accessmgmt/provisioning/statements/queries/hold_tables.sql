DO {tag}
DECLARE
    name text;
    mode text;
BEGIN
    FOREACH name IN ARRAY ARRAY[{names}] LOOP
        FOREACH mode IN ARRAY ARRAY['ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE'] LOOP
            BEGIN
                EXECUTE 'LOCK TABLE ONLY ' || name || ' IN ' || mode || ' MODE NOWAIT';
            EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
                NULL;
            END;
        END LOOP;
    END LOOP;
END
{tag}

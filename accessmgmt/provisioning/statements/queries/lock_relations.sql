-- To prepare a query locks what it names, reads nothing and asks for no privilege. One that cannot even be rewritten
-- (a policy that asks its own table) is left: nobody can read it, and it must not keep the others from being shared.
DO {tag}
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_prepared_statements p WHERE p.name = 'jit_lock') THEN
        DEALLOCATE jit_lock;
    END IF;
    FOREACH name IN ARRAY ARRAY[{names}] LOOP
        BEGIN
            EXECUTE 'PREPARE jit_lock AS SELECT FROM ' || name;
            DEALLOCATE jit_lock;
        EXCEPTION WHEN invalid_object_definition THEN
            NULL;
        END;
    END LOOP;
END
{tag}

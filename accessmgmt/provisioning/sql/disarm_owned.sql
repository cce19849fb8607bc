DO $disarm$
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT p.oid::regprocedure::text AS name, p.prosecdef AS is_definer
        FROM pg_proc p WHERE p.proowner = {oid} AND p.prokind IN ('f', 'p')
    LOOP
        IF thing.is_definer THEN
            EXECUTE format('ALTER ROUTINE %s SECURITY INVOKER', thing.name);
        END IF;
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', thing.name);
    END LOOP;
    FOR thing IN
        SELECT format('%s %s FROM %s', CASE c.relkind WHEN 'p' THEN 'ROUTINE' ELSE 'TABLE' END, c.name, c.grantee) AS words
        FROM (
            SELECT 'p' AS relkind, p.oid::regprocedure::text AS name, x.grantee::regrole::text AS grantee
            FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) x
            WHERE p.proowner = {oid} AND p.prokind IN ('f', 'p') AND x.grantee NOT IN (0, {oid})
            UNION
            SELECT 'r', quote_ident(n.nspname) || '.' || quote_ident(r.relname),
                   CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
            FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace CROSS JOIN LATERAL aclexplode(r.relacl) x
            WHERE r.relowner = {oid} AND r.relkind IN ('r', 'p', 'v', 'm', 'f') AND x.grantee <> {oid}
        ) c
    LOOP
        EXECUTE 'REVOKE ALL ON ' || thing.words;
    END LOOP;
END
$disarm$

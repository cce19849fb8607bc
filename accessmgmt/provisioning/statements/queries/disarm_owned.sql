DO $disarm$
DECLARE
    thing record;
BEGIN
    -- The server's ANALYZE would call its routines as the table's owner.
    FOR thing IN
        WITH RECURSIVE part (classid, objid) AS (
            SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc p WHERE p.proowner = {oid}
            UNION
            SELECT coalesce(k.classid, d.classid), coalesce(k.objid, d.objid)
            FROM part
            JOIN pg_depend d ON d.refclassid = part.classid AND d.refobjid = part.objid AND d.deptype IN ('n', 'a')
            LEFT JOIN LATERAL (SELECT 'pg_type'::regclass::oid AS classid, c.contypid AS objid FROM pg_constraint c
                               WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.contypid <> 0) k
                ON true
            WHERE d.classid IN ('pg_operator'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass,
                                'pg_class'::regclass, 'pg_statistic_ext'::regclass, 'pg_proc'::regclass)
        )
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS words
        FROM part JOIN pg_index x ON part.classid = 'pg_class'::regclass AND x.indexrelid = part.objid
        JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype = 'x'
        WHERE c.relowner = {oid} AND c.relpersistence <> 't'
        UNION
        SELECT format('DROP INDEX IF EXISTS %s', x.indexrelid::regclass)
        FROM part JOIN pg_index x ON part.classid = 'pg_class'::regclass AND x.indexrelid = part.objid
        JOIN pg_class c ON c.oid = x.indexrelid
        WHERE c.relowner = {oid} AND NOT c.relispartition AND c.relpersistence <> 't'
          AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
        UNION
        SELECT format('DROP STATISTICS IF EXISTS %I.%I', n.nspname, s.stxname)
        FROM part JOIN pg_statistic_ext s ON part.classid = 'pg_statistic_ext'::regclass AND s.oid = part.objid
        JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxowner = {oid}
        ORDER BY 1
    LOOP
        EXECUTE thing.words;
    END LOOP;
    FOR thing IN
        SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', c.oid::regclass) AS words
        FROM pg_class c
        WHERE c.relowner = {oid} AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND EXISTS (
            SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')
        UNION ALL
        SELECT format('ALTER TABLE %s DISABLE RULE %I', c.oid::regclass, r.rulename)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        WHERE c.relowner = {oid} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND r.ev_enabled <> 'D'
    LOOP
        EXECUTE thing.words;
    END LOOP;
    -- Nobody runs its routines any more, not even their new owner, who may allow it again.
    FOR thing IN
        SELECT format('%I.%I(%s)', n.nspname, p.proname, CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes)
                      ELSE pg_get_function_identity_arguments(p.oid) END) AS name,
               p.prosecdef AS is_definer
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.proowner = {oid} AND n.nspname !~ '^pg_temp_'
    LOOP
        IF thing.is_definer THEN
            EXECUTE format('ALTER ROUTINE %s SECURITY INVOKER', thing.name);
        END IF;
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC, %s CASCADE', thing.name, {oid}::oid::regrole);
    END LOOP;
    -- What it shared, to whomever they passed it on. To revoke from PUBLIC also writes the list of privileges down: a
    -- leftover is known by it.
    FOR thing IN
        SELECT DISTINCT format('REVOKE ALL ON %s %s FROM %s CASCADE', e.kind, e.name, e.grantee) AS words
        FROM ({entries}) e
        WHERE e.owner = {oid} AND e.grantee_oid <> {oid} AND e.kind <> 'TABLESPACE'
          -- A schema or a database is open to others for more than what lies there: only one that the role made.
          AND (e.kind NOT IN ('SCHEMA', 'DATABASE') OR e.objid > {oid})
          AND e.name !~ '^pg_temp_'
        UNION
        SELECT format('REVOKE ALL ON %s %s FROM PUBLIC', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                      c.oid::regclass)
        FROM pg_class c
        WHERE c.relowner = {oid} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relacl IS NULL
          AND c.relpersistence <> 't'
        UNION
        SELECT format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', n.nspname)
        FROM pg_namespace n WHERE n.nspowner = {oid} AND n.nspacl IS NULL
        UNION
        SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', d.datname)
        FROM pg_database d WHERE d.datdba = {oid} AND d.oid > {oid} AND d.datacl IS NULL
        UNION
        SELECT format('REVOKE ALL ON LARGE OBJECT %s FROM PUBLIC', l.oid)
        FROM pg_largeobject_metadata l WHERE l.lomowner = {oid} AND l.lomacl IS NULL
    LOOP
        EXECUTE thing.words;
    END LOOP;
    -- The portal has to see to what lies in a database that the role made.
    FOR thing IN
        SELECT format('GRANT CONNECT ON DATABASE %I TO %I', d.datname, r.rolname) AS words
        FROM pg_database d, pg_roles r
        WHERE d.datdba = {oid} AND d.oid > {oid} AND r.rolname IN (current_user, session_user)
          AND NOT r.rolsuper AND r.oid <> {oid}
    LOOP
        EXECUTE thing.words;
    END LOOP;
    -- What it would share of all that is still made in its name: as usual again, which removes the entry.
    FOR thing IN
        WITH future AS (
            SELECT f.defaclobjtype AS objtype, f.defaclnamespace = 0 AS is_everywhere, f.defaclacl AS acl,
                   format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s', f.defaclrole::regrole,
                          (SELECT format(' IN SCHEMA %I', n.nspname) FROM pg_namespace n WHERE n.oid = f.defaclnamespace))
                       AS start,
                   CASE f.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                       WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS kind
            FROM pg_default_acl f WHERE f.defaclrole = {oid}
        )
        SELECT 1 AS place, format('%s REVOKE ALL ON %s FROM %s CASCADE', f.start, f.kind, g.words) AS words
        FROM future f CROSS JOIN LATERAL (
            SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS words
            FROM aclexplode(f.acl) x) g
        UNION ALL
        SELECT 2, format('%s GRANT ALL ON %s TO %s', f.start, f.kind, {oid}::oid::regrole)
        FROM future f WHERE f.is_everywhere
        UNION ALL
        SELECT 2, format('%s GRANT %s ON %s TO PUBLIC', f.start, CASE f.objtype WHEN 'f' THEN 'EXECUTE' ELSE 'USAGE' END,
                         f.kind)
        FROM future f WHERE f.is_everywhere AND f.objtype IN ('f', 'T')
        ORDER BY 1
    LOOP
        EXECUTE thing.words;
    END LOOP;
END
$disarm$

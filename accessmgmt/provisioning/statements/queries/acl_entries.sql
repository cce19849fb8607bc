-- Every privilege on the objects of this database, and on shared ones, whose list of privileges names one of the roles,
-- as grantee or as grantor. `kind` and `name` are what REVOKE ... ON takes; a column's privilege stands at its table.
WITH mention AS MATERIALIZED (
    SELECT DISTINCT s.classid, s.objid
    FROM pg_shdepend s
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid IN ({roles}) AND s.deptype = {deptype}
      AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
), object (classid, objid, kind, name, is_temporary, owner, acl) AS (
    SELECT m.classid, m.objid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relpersistence = 't', c.relowner, l.acl
    FROM mention m
    JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT c.relacl AS acl
                        UNION ALL
                        SELECT a.attacl FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) l
    UNION ALL
    SELECT m.classid, m.objid, 'ROUTINE',
           format('%I.%I(%s)', n.nspname, p.proname, CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes)
                  ELSE pg_get_function_identity_arguments(p.oid) END), false, p.proowner, p.proacl
    FROM mention m
    JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    JOIN pg_namespace n ON n.oid = p.pronamespace
    UNION ALL
    SELECT m.classid, m.objid, 'TYPE', quote_ident(n.nspname) || '.' || quote_ident(t.typname), false, t.typowner, t.typacl
    FROM mention m
    JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    UNION ALL
    SELECT m.classid, m.objid, 'SCHEMA', quote_ident(n.nspname), false, n.nspowner, n.nspacl
    FROM mention m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'LANGUAGE', quote_ident(l.lanname), false, l.lanowner, l.lanacl
    FROM mention m JOIN pg_language l ON m.classid = 'pg_language'::regclass AND l.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'FOREIGN DATA WRAPPER', quote_ident(w.fdwname), false, w.fdwowner, w.fdwacl
    FROM mention m JOIN pg_foreign_data_wrapper w ON m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'FOREIGN SERVER', quote_ident(v.srvname), false, v.srvowner, v.srvacl
    FROM mention m JOIN pg_foreign_server v ON m.classid = 'pg_foreign_server'::regclass AND v.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'LARGE OBJECT', o.oid::text, false, o.lomowner, o.lomacl
    FROM mention m JOIN pg_largeobject_metadata o ON m.classid = 'pg_largeobject'::regclass AND o.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'DATABASE', quote_ident(b.datname), false, b.datdba, b.datacl
    FROM mention m JOIN pg_database b ON m.classid = 'pg_database'::regclass AND b.oid = m.objid
    UNION ALL
    SELECT m.classid, m.objid, 'TABLESPACE', quote_ident(t.spcname), false, t.spcowner, t.spcacl
    FROM mention m JOIN pg_tablespace t ON m.classid = 'pg_tablespace'::regclass AND t.oid = m.objid
    UNION ALL
    -- Dots part the name of an extension's parameter, and each part may be a word of SQL's own.
    SELECT m.classid, m.objid, 'PARAMETER',
           (SELECT string_agg(quote_ident(part), '.' ORDER BY number)
            FROM string_to_table(p.parname, '.') WITH ORDINALITY AS parts (part, number)), false, 10, p.paracl
    FROM mention m JOIN {parameters} p ON m.classid = to_regclass('pg_catalog.pg_parameter_acl') AND p.oid = m.objid
)
SELECT o.classid::bigint AS classid, o.objid::bigint AS objid, o.kind, o.name, o.is_temporary, o.owner::bigint AS owner,
       x.grantor::bigint AS grantor_oid, quote_ident(pg_get_userbyid(x.grantor)) AS grantor,
       x.grantee::bigint AS grantee_oid,
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS grantee,
       x.privilege_type AS privilege, x.is_grantable
FROM object o, aclexplode(o.acl) x
ORDER BY o.kind, o.name, x.grantee, x.privilege_type

-- What the capability role lacks and has too much, in this database. No rows of the kinds relation, sequence, schema,
-- database, default, other: complete. Rows of the kinds relations, samples, schemas, listed, sequences and unmatched
-- describe the scope.
--
-- pg_shdepend names every object on which the role holds anything, of whatever kind: what is there and not wanted is too
-- much (OUTSIDE when nothing of it is wanted). `is_theirs` says that the object is a grantee's own: anybody may give
-- of what is theirs to whom they like, and must not spoil a set by it.
--
-- The quick test: a relation is right when its ACL holds exactly the item we would write (aclitem equality, a few
-- nanoseconds); only the others are taken apart. pg_shdepend finds what the role holds outside the scope.
-- Names come from the rows, never from an OID's text: that is a bare number when the relation is dropped meanwhile, and
-- a privilege asked of it is null. Such an object counts as there, and is found missing when it is locked.
-- What a role may do on a relation follows from its owner and its ACL alone: samples are one relation of each such pair.
WITH {scope},
capability AS MATERIALIZED (
    SELECT (SELECT r.oid FROM pg_roles r WHERE r.rolname = %(capability)s) AS oid
),
owner_here AS MATERIALIZED (
    SELECT DISTINCT r.relowner, r.schema_oid, r.nspname FROM relation r
),
owner_item AS MATERIALIZED (
    SELECT o.relowner,
           pg_has_role(current_user, o.relowner, 'USAGE') AS is_held,
           pg_get_userbyid(o.relowner)::text AS owner,
           CASE WHEN k.oid IS NOT NULL THEN
               (%(capability)s || '=' || %(letters)s || '/"' || replace(pg_get_userbyid(o.relowner), '"', '""') || '"'
               )::aclitem
           END AS item
    FROM (SELECT DISTINCT h.relowner FROM owner_here h) o, capability k
),
mention AS MATERIALIZED (
    SELECT d.classid, d.objid, d.objsubid
    FROM capability k
    JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = k.oid AND d.deptype = 'a'
    WHERE d.dbid IN (0, (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
),
suspect AS MATERIALIZED (
    SELECT r.oid, r.nspname, r.relname, r.relkind, r.relacl, r.schema_oid, i.is_held, i.owner
    FROM relation r
    JOIN owner_item i ON i.relowner = r.relowner
    WHERE (i.item = ANY (r.relacl)) IS NOT TRUE
       OR r.oid IN (SELECT m.objid FROM mention m WHERE m.classid = 'pg_class'::regclass AND m.objsubid <> 0)
),
explored AS (
    SELECT s.*,
           ARRAY(SELECT w FROM unnest(%(wanted)s::text[]) w
                 WHERE w NOT IN (SELECT a.privilege_type FROM aclexplode(s.relacl) a, capability k
                                 WHERE a.grantee = k.oid)) AS lacking,
           ARRAY(SELECT DISTINCT a.privilege_type FROM aclexplode(s.relacl) a, capability k
                 WHERE a.grantee = k.oid AND (a.is_grantable OR a.privilege_type <> ALL (%(wanted)s::text[]))
                 UNION
                 SELECT 'COLUMN' FROM mention m
                 WHERE m.classid = 'pg_class'::regclass AND m.objid = s.oid AND m.objsubid <> 0) AS surplus
    FROM suspect s
),
schema_state AS MATERIALIZED (
    SELECT s.oid, s.nspname, s.nspowner,
           EXISTS (SELECT FROM aclexplode(s.nspacl) a, capability k
                   WHERE a.grantee = k.oid AND a.privilege_type = 'USAGE') AS has_usage,
           EXISTS (SELECT FROM aclexplode(s.nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'USAGE') AS is_public,
           has_schema_privilege(s.oid, 'USAGE WITH GRANT OPTION') IS NOT FALSE AS is_grantable,
           ARRAY(SELECT a.privilege_type FROM aclexplode(s.nspacl) a, capability k
                 WHERE a.grantee = k.oid AND (a.is_grantable OR a.privilege_type <> 'USAGE')) AS surplus
    FROM schema_scope s
    WHERE %(all_tables)s OR s.oid IN (SELECT h.schema_oid FROM owner_here h)
),
-- Table by table through the index (OFFSET 0 keeps it so): where many tables were made just now the planner knows
-- nothing of them, and would compare every sequence with every table.
needed_sequence AS MATERIALIZED (
    SELECT DISTINCT q.oid, q.relnamespace, q.relname, q.relowner, q.relacl
    FROM relation r
    CROSS JOIN LATERAL (
        SELECT d.objid
        FROM pg_depend d
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
          AND (d.classid = 'pg_class'::regclass) IS TRUE AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
        UNION ALL
        SELECT d.refobjid
        FROM (SELECT a.oid FROM pg_attrdef a WHERE a.adrelid = r.oid OFFSET 0) a
        CROSS JOIN LATERAL (
            SELECT d.refobjid
            FROM pg_depend d
            WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
              AND (d.refclassid = 'pg_class'::regclass) IS TRUE AND d.deptype = 'n'
            OFFSET 0) d
        OFFSET 0) found
    CROSS JOIN LATERAL (SELECT c.* FROM pg_class c WHERE c.oid = found.objid AND c.relkind = 'S' OFFSET 0) q
    WHERE r.relkind <> 'm' AND cardinality(%(sequence_wanted)s::text[]) > 0
),
sequence_state AS MATERIALIZED (
    SELECT q.oid, n.nspname, q.relname, q.relowner,
           ARRAY(SELECT w FROM unnest(%(sequence_wanted)s::text[]) w
                 WHERE w NOT IN (SELECT a.privilege_type FROM aclexplode(q.relacl) a, capability k
                                 WHERE a.grantee IN (0, k.oid))) AS lacking,
           ARRAY(SELECT DISTINCT a.privilege_type FROM aclexplode(q.relacl) a, capability k
                 WHERE a.grantee = k.oid
                   AND (a.is_grantable OR a.privilege_type <> ALL (%(sequence_wanted)s::text[]))) AS surplus
    FROM needed_sequence q
    JOIN pg_namespace n ON n.oid = q.relnamespace
),
default_owner AS MATERIALIZED (
    SELECT DISTINCT o.schema_oid, o.nspname, o.owner_oid
    FROM (SELECT h.schema_oid, h.nspname, h.relowner AS owner_oid FROM owner_here h
          UNION ALL
          SELECT s.oid, s.nspname, s.nspowner FROM schema_scope s) o
    WHERE %(with_defaults)s AND pg_has_role(current_user, o.owner_oid, 'USAGE')
      AND pg_get_userbyid(o.owner_oid) !~ '^pg_'
),
default_wanted AS (
    SELECT o.schema_oid, o.nspname, o.owner_oid, t.objtype, t.privileges
    FROM default_owner o
    CROSS JOIN (VALUES ('r'::"char", %(wanted)s::text[]), ('S'::"char", %(sequence_wanted)s::text[]))
        AS t (objtype, privileges)
    WHERE cardinality(t.privileges) > 0
),
default_held AS MATERIALIZED (
    SELECT f.oid, f.defaclrole, f.defaclnamespace, f.defaclobjtype, a.privilege_type, a.is_grantable
    FROM (SELECT DISTINCT m.objid FROM mention m WHERE m.classid = 'pg_default_acl'::regclass) m
    JOIN pg_default_acl f ON f.oid = m.objid
    CROSS JOIN LATERAL aclexplode(f.defaclacl) a
    JOIN capability k ON k.oid = a.grantee
),
default_state AS (
    SELECT d.*,
           ARRAY(SELECT p FROM unnest(d.privileges) p
                 WHERE p NOT IN (SELECT h.privilege_type FROM default_held h
                                 WHERE h.defaclrole = d.owner_oid AND h.defaclnamespace = d.schema_oid
                                   AND h.defaclobjtype = d.objtype)) AS lacking,
           ARRAY(SELECT DISTINCT h.privilege_type FROM default_held h
                 WHERE h.defaclrole = d.owner_oid AND h.defaclnamespace = d.schema_oid AND h.defaclobjtype = d.objtype
                   AND (h.is_grantable OR h.privilege_type <> ALL (d.privileges))) AS surplus
    FROM default_wanted d
),
-- Everything that no set ever means, in the words of a REVOKE. Each branch is asked only for what is of its kind.
other AS (
    SELECT m.objid, o.word, o.name, o.owner, o.acl
    FROM (SELECT DISTINCT m.classid, m.objid FROM mention m
          WHERE m.classid NOT IN ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_default_acl'::regclass)
            AND NOT (m.classid = 'pg_database'::regclass
                     AND m.objid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))) m
    CROSS JOIN LATERAL (
        SELECT 'ROUTINE' AS word, i.identity AS name, p.proowner AS owner, p.proacl AS acl
        FROM pg_proc p CROSS JOIN LATERAL pg_identify_object(m.classid, m.objid, 0) i
        WHERE m.classid = 'pg_proc'::regclass AND p.oid = m.objid
        UNION ALL
        SELECT 'TYPE', quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.typowner, t.typacl
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE m.classid = 'pg_type'::regclass AND t.oid = m.objid
        UNION ALL
        SELECT 'LANGUAGE', quote_ident(l.lanname), l.lanowner, l.lanacl FROM pg_language l
        WHERE m.classid = 'pg_language'::regclass AND l.oid = m.objid
        UNION ALL
        SELECT 'LARGE OBJECT', l.oid::text, l.lomowner, l.lomacl FROM pg_largeobject_metadata l
        WHERE m.classid = 'pg_largeobject'::regclass AND l.oid = m.objid
        UNION ALL
        SELECT 'FOREIGN DATA WRAPPER', quote_ident(w.fdwname), w.fdwowner, w.fdwacl FROM pg_foreign_data_wrapper w
        WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid
        UNION ALL
        SELECT 'FOREIGN SERVER', quote_ident(s.srvname), s.srvowner, s.srvacl FROM pg_foreign_server s
        WHERE m.classid = 'pg_foreign_server'::regclass AND s.oid = m.objid
        UNION ALL
        SELECT 'TABLESPACE', quote_ident(s.spcname), s.spcowner, s.spcacl FROM pg_tablespace s
        WHERE m.classid = 'pg_tablespace'::regclass AND s.oid = m.objid
        UNION ALL
        SELECT 'DATABASE', quote_ident(b.datname), b.datdba, b.datacl FROM pg_database b
        WHERE m.classid = 'pg_database'::regclass AND b.oid = m.objid
        UNION ALL
        -- From 15 on, and always the bootstrap superuser's. Dots part the name of an extension's parameter.
        SELECT 'PARAMETER', (SELECT string_agg(quote_ident(part), '.' ORDER BY number)
                             FROM string_to_table(i.identity, '.') WITH ORDINALITY AS parts (part, number)),
               10::oid, NULL::aclitem[]
        FROM pg_identify_object(m.classid, m.objid, 0) i
        WHERE m.classid = to_regclass('pg_catalog.pg_parameter_acl')
        UNION ALL
        SELECT '', pg_describe_object(m.classid, m.objid, 0), 10::oid, NULL::aclitem[]
        WHERE (m.classid NOT IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_language'::regclass,
                                 'pg_largeobject'::regclass, 'pg_foreign_data_wrapper'::regclass,
                                 'pg_foreign_server'::regclass, 'pg_tablespace'::regclass, 'pg_database'::regclass)
               AND m.classid IS DISTINCT FROM to_regclass('pg_catalog.pg_parameter_acl'))
        OFFSET 0) o
)
SELECT 'relation' AS kind, e.oid::bigint AS oid, quote_ident(e.nspname) || '.' || quote_ident(e.relname) AS name,
       e.relkind::text AS relkind,
       e.lacking, e.surplus, e.owner,
       (e.is_held OR (SELECT bool_and(has_table_privilege(e.oid, w || ' WITH GRANT OPTION'))
                      FROM unnest(%(wanted)s::text[]) w) IS NOT FALSE)
           AND (SELECT s.has_usage OR s.is_public OR s.is_grantable FROM schema_state s WHERE s.oid = e.schema_oid)
           AS can_grant,
       e.relname = ANY (%(tables)s::text[]) AS is_named, false AS is_theirs
FROM explored e
WHERE cardinality(e.lacking) > 0 OR cardinality(e.surplus) > 0
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END, c.oid::bigint,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, '{}',
       '{OUTSIDE}'::text[] || ARRAY(SELECT DISTINCT a.privilege_type FROM aclexplode(c.relacl) a, capability k
                          WHERE a.grantee = k.oid
                          UNION ALL
                          SELECT 'COLUMN' WHERE outside.has_columns),
       pg_get_userbyid(c.relowner)::text,
       pg_has_role(current_user, c.relowner, 'USAGE')
           OR EXISTS (SELECT FROM aclexplode(c.relacl) a, capability k
                      WHERE a.grantee = k.oid AND pg_get_userbyid(a.grantor) = current_user),
       false, c.relowner IN (SELECT g.oid FROM grantee g)
FROM (SELECT m.objid, bool_or(m.objsubid <> 0) AS has_columns FROM mention m
      WHERE m.classid = 'pg_class'::regclass AND m.objid NOT IN (SELECT r.oid FROM relation r)
        AND m.objid NOT IN (SELECT q.oid FROM needed_sequence q)
      GROUP BY m.objid) outside
JOIN pg_class c ON c.oid = outside.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'sequence', q.oid::bigint, quote_ident(q.nspname) || '.' || quote_ident(q.relname), 'S', q.lacking, q.surplus,
       pg_get_userbyid(q.relowner)::text,
       pg_has_role(current_user, q.relowner, 'USAGE')
           OR (SELECT bool_and(has_sequence_privilege(q.oid, w || ' WITH GRANT OPTION'))
               FROM unnest(%(sequence_wanted)s::text[]) w) IS NOT FALSE,
       false, q.relowner IN (SELECT g.oid FROM grantee g)
FROM sequence_state q
WHERE cardinality(q.lacking) > 0 OR cardinality(q.surplus) > 0
UNION ALL
SELECT 'schema', s.oid::bigint, quote_ident(s.nspname), '',
       CASE WHEN s.has_usage THEN '{}'::text[] ELSE '{USAGE}' END, s.surplus, pg_get_userbyid(s.nspowner)::text,
       s.is_grantable, s.is_public, false
FROM schema_state s
WHERE NOT (s.has_usage OR (s.is_public AND NOT s.is_grantable)) OR cardinality(s.surplus) > 0
UNION ALL
SELECT 'schema', n.oid::bigint, quote_ident(n.nspname), '', '{}',
       '{OUTSIDE}'::text[] || ARRAY(SELECT DISTINCT a.privilege_type FROM aclexplode(n.nspacl) a, capability k
                          WHERE a.grantee = k.oid),
       pg_get_userbyid(n.nspowner)::text,
       pg_has_role(current_user, n.nspowner, 'USAGE')
           OR EXISTS (SELECT FROM aclexplode(n.nspacl) a, capability k
                      WHERE a.grantee = k.oid AND pg_get_userbyid(a.grantor) = current_user),
       false, n.nspowner IN (SELECT g.oid FROM grantee g)
FROM mention m
JOIN pg_namespace n ON n.oid = m.objid
WHERE m.classid = 'pg_namespace'::regclass AND NOT EXISTS (SELECT FROM schema_state s WHERE s.oid = n.oid)
UNION ALL
SELECT 'database', b.oid::bigint, quote_ident(b.datname), '',
       CASE WHEN p.has_connect OR (p.is_public AND NOT p.can_grant) THEN '{}'::text[] ELSE '{CONNECT}' END, p.surplus,
       pg_get_userbyid(b.datdba)::text, p.can_grant, p.is_public, false
FROM pg_database b
CROSS JOIN LATERAL (
    SELECT has_database_privilege(b.oid, 'CONNECT WITH GRANT OPTION') AS can_grant,
           EXISTS (SELECT FROM aclexplode(b.datacl) a, capability k
                   WHERE a.grantee = k.oid AND a.privilege_type = 'CONNECT') AS has_connect,
           ARRAY(SELECT a.privilege_type FROM aclexplode(b.datacl) a, capability k
                 WHERE a.grantee = k.oid AND (a.is_grantable OR a.privilege_type <> 'CONNECT')) AS surplus,
           EXISTS (SELECT FROM aclexplode(coalesce(b.datacl, acldefault('d', b.datdba))) a
                   WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT') AS is_public) p
WHERE b.datname = current_database()
  AND (NOT (p.has_connect OR (p.is_public AND NOT p.can_grant)) OR cardinality(p.surplus) > 0)
UNION ALL
SELECT 'default', d.schema_oid::bigint, quote_ident(d.nspname), d.objtype::text,
       CASE WHEN cardinality(d.lacking) > 0 OR cardinality(d.surplus) > 0 THEN d.privileges ELSE '{}' END, d.surplus,
       pg_get_userbyid(d.owner_oid)::text, true, false, false
FROM default_state d
WHERE cardinality(d.lacking) > 0 OR cardinality(d.surplus) > 0
UNION ALL
SELECT 'default', h.oid::bigint, coalesce(quote_ident(n.nspname), ''), h.defaclobjtype::text, '{}',
       '{OUTSIDE}'::text[] || array_agg(DISTINCT h.privilege_type), pg_get_userbyid(h.defaclrole)::text,
       pg_has_role(current_user, h.defaclrole, 'USAGE'), false, h.defaclrole IN (SELECT g.oid FROM grantee g)
FROM default_held h
LEFT JOIN pg_namespace n ON n.oid = h.defaclnamespace
WHERE NOT EXISTS (SELECT FROM default_wanted d
                  WHERE d.owner_oid = h.defaclrole AND d.schema_oid = h.defaclnamespace AND d.objtype = h.defaclobjtype)
GROUP BY h.oid, n.nspname, h.defaclobjtype, h.defaclrole
UNION ALL
-- CONNECT on another database is what another resource of the portal gives there.
SELECT 'other', o.objid::bigint, o.name, o.word, '{}', '{OUTSIDE}'::text[] || p.privileges, pg_get_userbyid(o.owner)::text,
       o.word <> '' AND (pg_has_role(current_user, o.owner, 'USAGE') OR p.are_ours), false, o.owner IN (SELECT g.oid FROM grantee g)
FROM other o
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(DISTINCT a.privilege_type), '{}') AS privileges, bool_or(a.is_grantable) AS is_grantable,
           coalesce(bool_or(pg_get_userbyid(a.grantor) = current_user), false) AS are_ours
    FROM aclexplode(o.acl) a, capability k WHERE a.grantee = k.oid) p
WHERE o.word <> 'DATABASE' OR p.is_grantable OR p.privileges <> '{CONNECT}'
UNION ALL
SELECT 'relations', count(*), coalesce(array_agg(r.oid)::text, '{}'), '', '{}', '{}', '', true, false, false
FROM relation r
UNION ALL
SELECT 'samples', count(*), coalesce(array_agg(g.oid)::text, '{}'), '', '{}', '{}', '', true, false, false
FROM (SELECT min(r.oid) AS oid FROM relation r GROUP BY r.relowner, r.relacl) g
UNION ALL
SELECT 'schemas', count(*), coalesce(array_agg(s.oid)::text, '{}'), '', '{}', '{}', '', true, false, false
FROM schema_state s
UNION ALL
SELECT 'listed', 0, coalesce(json_agg(json_build_array(l.oid::bigint, l.nspname, l.relname, l.relkind))::text, '[]'),
       '', '{}', '{}', '', true, false, false
FROM (SELECT r.oid, r.nspname, r.relname, r.relkind FROM relation r ORDER BY r.nspname, r.relname LIMIT %(most)s) l
UNION ALL
SELECT 'sequences', (SELECT count(*) FROM sequence_state),
       coalesce(json_agg(json_build_array(l.oid::bigint, l.nspname, l.relname))::text, '[]'),
       '', '{}', '{}', '', true, false, false
FROM (SELECT q.oid, q.nspname, q.relname FROM sequence_state q ORDER BY q.nspname, q.relname LIMIT %(most)s) l
UNION ALL
SELECT 'unmatched', 0, 'schema ' || e.entry, '', '{}', '{}', '', true, false, false
FROM schema_entry e
WHERE NOT EXISTS (SELECT FROM schema_scope s WHERE s.nspname = e.entry OR s.nspname ~ e.pattern)
UNION ALL
SELECT 'unmatched', 0, 'table ' || e.entry || coalesce((
           SELECT ' (there is one of ' || pg_get_userbyid(c.relowner) || ', and what grantees own is in no set)'
           FROM schema_scope s JOIN pg_class c ON c.relnamespace = s.oid
           WHERE (c.relname = e.entry OR c.relname ~ e.pattern) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
           ORDER BY c.oid LIMIT 1), ''), '', '{}', '{}', '', true, false, false
FROM table_entry e
WHERE e.entry <> '*'
  AND NOT EXISTS (SELECT FROM relation r WHERE r.relname = e.entry OR r.relname ~ e.pattern)

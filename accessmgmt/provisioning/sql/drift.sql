-- What the capability role lacks and has too much, in this database. No rows of the kinds relation, sequence, schema,
-- database, default: complete. Rows of the kinds relations, samples, schemas, listed and unmatched describe the scope.
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
    WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
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
          AND (d.classid = 'pg_class'::regclass) IS TRUE AND d.deptype = 'a'
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
    WHERE r.relkind IN ('r', 'p') AND 'INSERT' = ANY (%(wanted)s::text[])
),
sequence_state AS (
    SELECT q.oid, q.relnamespace, q.relname, q.relowner,
           EXISTS (SELECT FROM aclexplode(q.relacl) a, capability k
                   WHERE a.grantee IN (0, k.oid) AND a.privilege_type = 'USAGE') AS has_usage,
           ARRAY(SELECT a.privilege_type FROM aclexplode(q.relacl) a, capability k
                 WHERE a.grantee = k.oid AND (a.is_grantable OR a.privilege_type <> 'USAGE')) AS surplus
    FROM needed_sequence q
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
    CROSS JOIN (VALUES ('r'::"char", %(wanted)s::text[]), ('S'::"char", ARRAY['USAGE'])) AS t (objtype, privileges)
    WHERE t.objtype = 'r' OR 'INSERT' = ANY (%(wanted)s::text[])
)
SELECT 'relation' AS kind, e.oid::bigint AS oid, quote_ident(e.nspname) || '.' || quote_ident(e.relname) AS name,
       e.relkind::text AS relkind,
       e.lacking, e.surplus, e.owner,
       (e.is_held OR (SELECT bool_and(has_table_privilege(e.oid, w || ' WITH GRANT OPTION'))
                      FROM unnest(%(wanted)s::text[]) w) IS NOT FALSE)
           AND (SELECT s.has_usage OR s.is_public OR s.is_grantable FROM schema_state s WHERE s.oid = e.schema_oid)
           AS can_grant,
       e.relname = ANY (%(tables)s::text[]) AS is_named
FROM explored e
WHERE cardinality(e.lacking) > 0 OR cardinality(e.surplus) > 0
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'relation' END, c.oid::bigint,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, '{}', '{OUTSIDE}',
       pg_get_userbyid(c.relowner)::text,
       -- A person may give of their own, a temporary table say: that is theirs to take back.
       pg_has_role(current_user, c.relowner, 'USAGE')
           OR EXISTS (SELECT FROM aclexplode(c.relacl) a, capability k
                      WHERE a.grantee = k.oid AND pg_get_userbyid(a.grantor) = current_user),
       false
FROM (SELECT m.objid FROM mention m WHERE m.classid = 'pg_class'::regclass
      EXCEPT SELECT r.oid FROM relation r
      EXCEPT SELECT q.oid FROM needed_sequence q) outside
JOIN pg_class c ON c.oid = outside.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'sequence', q.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(q.relname), 'S',
       CASE WHEN q.has_usage THEN '{}'::text[] ELSE '{USAGE}' END, q.surplus, pg_get_userbyid(q.relowner)::text,
       pg_has_role(current_user, q.relowner, 'USAGE') OR has_sequence_privilege(q.oid, 'USAGE WITH GRANT OPTION'), false
FROM sequence_state q
JOIN pg_namespace n ON n.oid = q.relnamespace
WHERE NOT q.has_usage OR cardinality(q.surplus) > 0
UNION ALL
SELECT 'schema', s.oid::bigint, quote_ident(s.nspname), '',
       CASE WHEN s.has_usage THEN '{}'::text[] ELSE '{USAGE}' END, s.surplus, pg_get_userbyid(s.nspowner)::text,
       s.is_grantable, s.is_public
FROM schema_state s
WHERE NOT (s.has_usage OR (s.is_public AND NOT s.is_grantable)) OR cardinality(s.surplus) > 0
UNION ALL
SELECT 'schema', n.oid::bigint, quote_ident(n.nspname), '', '{}', '{OUTSIDE}', pg_get_userbyid(n.nspowner)::text,
       pg_has_role(current_user, n.nspowner, 'USAGE')
           OR EXISTS (SELECT FROM aclexplode(n.nspacl) a, capability k
                      WHERE a.grantee = k.oid AND pg_get_userbyid(a.grantor) = current_user),
       false
FROM mention m
JOIN pg_namespace n ON n.oid = m.objid
WHERE m.classid = 'pg_namespace'::regclass AND NOT EXISTS (SELECT FROM schema_state s WHERE s.oid = n.oid)
UNION ALL
SELECT 'database', b.oid::bigint, quote_ident(b.datname), '',
       CASE WHEN p.has_connect OR (p.is_public AND NOT p.can_grant) THEN '{}'::text[] ELSE '{CONNECT}' END, p.surplus,
       pg_get_userbyid(b.datdba)::text, p.can_grant, p.is_public
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
SELECT 'default', d.schema_oid::bigint, quote_ident(d.nspname), d.objtype::text, d.privileges, '{}',
       pg_get_userbyid(d.owner_oid)::text, true, false
FROM default_wanted d
WHERE EXISTS (
    SELECT FROM unnest(d.privileges) p
    WHERE NOT EXISTS (
        SELECT FROM pg_default_acl f, aclexplode(f.defaclacl) a, capability k
        WHERE f.defaclrole = d.owner_oid AND f.defaclnamespace = d.schema_oid AND f.defaclobjtype = d.objtype
          AND a.grantee = k.oid AND a.privilege_type = p))
UNION ALL
SELECT 'relations', count(*), coalesce(array_agg(r.oid)::text, '{}'), '', '{}', '{}', '', true, false
FROM relation r
UNION ALL
SELECT 'samples', count(*), coalesce(array_agg(g.oid)::text, '{}'), '', '{}', '{}', '', true, false
FROM (SELECT min(r.oid) AS oid FROM relation r GROUP BY r.relowner, r.relacl) g
UNION ALL
SELECT 'schemas', count(*), coalesce(array_agg(s.oid)::text, '{}'), '', '{}', '{}', '', true, false
FROM schema_state s
UNION ALL
SELECT 'listed', 0, coalesce(json_agg(json_build_array(l.oid::bigint, l.nspname, l.relname, l.relkind))::text, '[]'),
       '', '{}', '{}', '', true, false
FROM (SELECT r.oid, r.nspname, r.relname, r.relkind FROM relation r ORDER BY r.nspname, r.relname LIMIT %(most)s) l
UNION ALL
SELECT 'unmatched', 0, 'schema ' || e.entry, '', '{}', '{}', '', true, false
FROM schema_entry e
WHERE NOT EXISTS (SELECT FROM schema_scope s WHERE s.nspname = e.entry OR s.nspname ~ e.pattern)
UNION ALL
SELECT 'unmatched', 0, 'table ' || e.entry, '', '{}', '{}', '', true, false
FROM table_entry e
WHERE e.entry <> '*'
  AND NOT EXISTS (SELECT FROM relation r WHERE r.relname = e.entry OR r.relname ~ e.pattern)

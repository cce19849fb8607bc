-- Which of these objects are a stranger's own, by their numbers in the question. What a stranger gives of their own to a
-- capability role takes nothing from anybody: anybody may do that with anything of theirs, and must not keep a set from
-- all others by it. What is the application's, and what an administrator gives, is another matter.
--
-- No strangers are who makes roles or databases what they are (superusers, roles with CREATEROLE, the owner of the
-- database), whom the portal is a member of, and the owners of what the set names: its schemas, and its relations. A
-- relation in a schema where everybody may create makes nobody an owner of the application, unless the portal may
-- share it. In all other schemas of the set everything is the application's, whoever owns it.
WITH {scope},
asked AS (
    SELECT a.* FROM unnest(%(kinds)s::text[], %(words)s::text[], %(oids)s::bigint[], %(owners)s::text[]) WITH ORDINALITY
        AS a (kind, word, oid, owner, number)
),
open_schema AS MATERIALIZED (
    SELECT s.oid FROM schema_scope s
    WHERE EXISTS (SELECT FROM aclexplode(s.nspacl) x WHERE x.grantee = 0 AND x.privilege_type = 'CREATE')
),
told AS MATERIALIZED (
    SELECT r.oid FROM pg_roles r
    WHERE r.rolname IN (SELECT a.owner FROM asked a)
      AND (r.rolsuper OR r.rolcreaterole OR pg_has_role(current_user, r.oid, 'MEMBER'))
    UNION ALL
    SELECT b.datdba FROM pg_database b WHERE b.datname = current_database()
    UNION ALL
    SELECT s.nspowner FROM schema_scope s
    UNION ALL
    SELECT l.relowner
    FROM (SELECT min(r.oid) AS oid, r.relowner, r.schema_oid FROM relation r
          GROUP BY r.relowner, r.relacl, r.schema_oid) l
    WHERE l.schema_oid NOT IN (SELECT n.oid FROM open_schema n)
       OR (SELECT bool_or(has_table_privilege(l.oid, w || ' WITH GRANT OPTION')) FROM unnest(%(wanted)s::text[]) w)
)
SELECT a.number
FROM asked a
JOIN pg_roles o ON o.rolname = a.owner
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.kind IN ('relation', 'sequence') THEN (SELECT c.relnamespace FROM pg_class c WHERE c.oid = a.oid)
                WHEN a.word = 'ROUTINE' THEN (SELECT p.pronamespace FROM pg_proc p WHERE p.oid = a.oid)
                WHEN a.word = 'TYPE' THEN (SELECT t.typnamespace FROM pg_type t WHERE t.oid = a.oid) END AS schema_oid) i
WHERE o.oid NOT IN (SELECT t.oid FROM told t)
  AND NOT EXISTS (SELECT FROM schema_scope s
                  WHERE s.oid = i.schema_oid AND s.oid NOT IN (SELECT n.oid FROM open_schema n))
ORDER BY a.number

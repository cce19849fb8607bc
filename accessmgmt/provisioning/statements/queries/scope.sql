-- Common table expressions: the schemas and relations that a permission set means. An entry names what is called
-- exactly so; only where nothing is, it is read as a pattern. System schemas are never in scope.
--
-- What a grantee made is never part of a set, neither by name nor by pattern, and is no exact name that would put a
-- pattern out of force: else one person with CREATE in a schema could take its tables from all others, or put their own
-- among them. Grantees are the portal's logins and capability roles, and who takes over what those leave. A tag alone
-- makes no grantee: every role with CREATEROLE may write one, and the owner of the tables must not become one by it.
grantee AS MATERIALIZED (
    -- The name by a function: where many roles were made just now, a join would look at all of them for each.
    SELECT d.objoid AS oid
    FROM pg_shdescription d
    WHERE d.classoid = 'pg_authid'::regclass AND starts_with(d.description, 'access-portal:')
      AND pg_get_userbyid(d.objoid) ~ '^jitb?_'
    UNION ALL
    SELECT r.oid FROM pg_roles r WHERE r.rolname = 'jit_quarantine'
    UNION ALL
    -- One that an admin chose, and that gets leftovers: it has no tables of its own (a leftover is known by its list of
    -- privileges, which was written down with the owner alone on it).
    SELECT r.oid
    FROM pg_roles r
    WHERE r.rolname = %(leftover_owner)s AND NOT EXISTS (
        SELECT FROM pg_class c
        WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND (c.relacl IS NULL OR EXISTS (SELECT FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner)))
),
visible AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl
    FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND n.nspowner NOT IN (SELECT g.oid FROM grantee g)
),
schema_entry AS (
    SELECT e.entry, e.pattern FROM unnest(%(schemas)s::text[], %(schema_patterns)s::text[]) AS e (entry, pattern)
),
schema_scope AS MATERIALIZED (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl
    FROM visible n
    WHERE EXISTS (
        SELECT FROM schema_entry e
        WHERE e.entry = n.nspname
           OR (n.nspname ~ e.pattern AND NOT EXISTS (SELECT FROM visible x WHERE x.nspname = e.entry)))
),
table_entry AS (
    SELECT e.entry, e.pattern FROM unnest(%(tables)s::text[], %(table_patterns)s::text[]) AS e (entry, pattern)
),
table_pattern AS MATERIALIZED (
    SELECT array_agg(e.pattern) AS patterns
    FROM table_entry e
    WHERE e.pattern IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM schema_scope s JOIN pg_class c ON c.relnamespace = s.oid
          WHERE c.relname = e.entry AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND c.relowner NOT IN (SELECT g.oid FROM grantee g))
),
relation AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl, s.oid AS schema_oid, s.nspname
    FROM schema_scope s
    JOIN pg_class c ON c.relnamespace = s.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND c.relowner NOT IN (SELECT g.oid FROM grantee g)
      AND (%(all_tables)s
           OR c.relname = ANY (%(tables)s::text[])
           OR c.relname ~ ANY ((SELECT patterns FROM table_pattern)::text[]))
)

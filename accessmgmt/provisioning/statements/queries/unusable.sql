-- The names of relations that a login cannot use: because of themselves, or because of their schema.
SELECT c.oid::bigint AS oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%(scope)s::oid[])
  AND (c.oid = ANY (%(lacking)s::oid[]) OR c.relnamespace = ANY (%(closed_schemas)s::oid[]))
ORDER BY 2

-- The names of relations that a login cannot use: because of themselves, or because of their schema.
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name
FROM pg_class c
WHERE c.oid = ANY (%(scope)s::oid[])
  AND (c.oid = ANY (%(lacking)s::oid[]) OR c.relnamespace = ANY (%(closed_schemas)s::oid[]))
ORDER BY 2

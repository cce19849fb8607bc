-- Schemas in which the role owns something that REASSIGN OWNED hands over.
SELECT DISTINCT quote_ident(n.nspname) AS schema
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relowner = %(oid)s::oid AND n.nspname !~ '^pg_'

-- Whether anything that a capability role's drift depends on has changed: one pass over the transaction ids that last
-- wrote each row, without looking into any ACL. GRANT, ALTER, CREATE and DROP write pg_class; VACUUM does not.
-- xid has no sum, so ages are added, and the reader takes off how far the counter has moved since.
SELECT count(*) AS relations, coalesce(sum(age(c.xmin)), 0)::bigint AS ages, age('3'::xid) AS now,
       (SELECT coalesce(string_agg(n.oid || ' ' || n.xmin, ',' ORDER BY n.oid), '')
        FROM pg_namespace n WHERE n.nspname !~ '^pg_')
       || ';' || (SELECT coalesce(string_agg(f.oid || ' ' || f.xmin, ',' ORDER BY f.oid), '') FROM pg_default_acl f)
       || ';' || (SELECT b.oid || ' ' || b.xmin FROM pg_database b WHERE b.datname = current_database()) AS others
FROM pg_class c
WHERE c.oid >= 16384::oid

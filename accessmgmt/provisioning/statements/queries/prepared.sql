-- Transactions that a login prepared for a two-phase commit. They outlive the role and keep its locks.
SELECT p.gid, p.database::text AS database, p.prepared, p.owner::text AS role
FROM pg_prepared_xacts p WHERE p.owner = ANY (%(names)s::name[])
ORDER BY p.prepared

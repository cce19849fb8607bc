SELECT p.gid, p.database::text AS database, p.prepared FROM pg_prepared_xacts p WHERE p.owner = %(role)s

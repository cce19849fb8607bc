-- What the admin role may do on this server, and how the server is. One row.
SELECT current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery,
       current_database()::text AS database,
       session_user::text AS logged_in_as,
       current_user::text AS acting_as,
       me.rolsuper AS is_superuser,
       me.rolcreaterole AS may_create_roles,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS may_signal,
       EXISTS (SELECT FROM pg_roles r WHERE r.rolname = {admin_role}) AS has_admin_role,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend') AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS most_connections,
       -- What is kept free for such as our login when everybody else has filled the server up (from 16 on).
       CASE WHEN (SELECT l.rolsuper FROM pg_roles l WHERE l.rolname = session_user)
            THEN current_setting('superuser_reserved_connections')::int
            WHEN EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'pg_use_reserved_connections'
                         AND pg_has_role(session_user, r.oid, 'USAGE'))
            THEN coalesce(current_setting('reserved_connections', true)::int, 0) ELSE 0 END AS kept_free,
       coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       (SELECT nullif(b.datconnlimit, -1) FROM pg_database b WHERE b.datname = current_database()) AS database_limit,
       (SELECT nullif(l.rolconnlimit, -1) FROM pg_roles l WHERE l.rolname = session_user) AS login_limit,
       ARRAY(SELECT DISTINCT pg_get_userbyid(c.relowner)::text
             FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
               AND NOT pg_has_role(current_user, c.relowner, 'USAGE')
               AND NOT has_table_privilege(c.oid, 'SELECT WITH GRANT OPTION')
               AND NOT (SELECT w.rolsuper FROM pg_roles w WHERE w.oid = c.relowner)
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                               AND d.deptype = 'e')
             ORDER BY 1) AS owners_not_held,
       ARRAY(SELECT quote_ident(n.nspname) FROM pg_namespace n, aclexplode(n.nspacl) a
             WHERE a.grantee = 0 AND a.privilege_type = 'CREATE' AND n.nspname !~ '^pg_'
             ORDER BY 1) AS open_schemas,
       -- What every login may run with the rights of somebody else: PUBLIC's EXECUTE is the default.
       ARRAY(SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
               AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                           WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
             ORDER BY 1) AS open_definers,
       -- An access list has to fit into its row of 8 kB: from then on no GRANT on it works.
       ARRAY(SELECT c.oid::regclass::text FROM pg_class c WHERE pg_column_size(c.relacl) > 4096 ORDER BY 1) AS long_lists,
       (SELECT count(*) FROM pg_shdescription d
        WHERE d.classoid = 'pg_authid'::regclass AND d.description LIKE 'access-portal:%:grant:%') AS standing_logins,
       (SELECT count(*)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_roles w ON w.oid = c.relowner AND w.rolsuper
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND NOT pg_has_role(current_user, c.relowner, 'USAGE')
          AND NOT has_table_privilege(c.oid, 'SELECT WITH GRANT OPTION')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')) AS superusers_tables,
       (SELECT count(DISTINCT c.relowner)
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND pg_has_role(current_user, c.relowner, 'USAGE')) AS owners_held
FROM pg_roles me
WHERE me.rolname = current_user

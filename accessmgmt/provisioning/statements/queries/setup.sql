-- Once for each new admin connection: step into the admin role when the login is a member of it and no superuser.
SELECT me.rolsuper AS is_superuser,
       current_setting('is_superuser') AS acts_as_superuser,
       CASE
           WHEN me.rolsuper THEN NULL
           WHEN EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = {admin_role})
                AND pg_catalog.pg_has_role(me.oid, (SELECT r.oid FROM pg_catalog.pg_roles r
                                                    WHERE r.rolname = {admin_role}), {membership})
           THEN pg_catalog.set_config('role', {admin_role}, false)
       END AS stepped_into,
       {transaction_timeout} AS transaction_timeout,
       -- Whoever makes a role is to be no member of it: what it may do would be ours as well.
       {self_grant} AS self_grant,
       -- EXECUTE may have been taken from PUBLIC: a query that names the function then fails, whatever it asks.
       pg_catalog.has_function_privilege(
           coalesce((SELECT r.oid FROM pg_catalog.pg_roles r
                     WHERE NOT me.rolsuper AND r.rolname = {admin_role}
                       AND pg_catalog.pg_has_role(me.oid, r.oid, {membership})), me.oid),
           'pg_catalog.pg_control_system()', 'EXECUTE') AS reads_cluster,
       -- What is recorded as gone must be gone after a crash as well; stricter settings of the server stay.
       CASE WHEN current_setting('synchronous_commit') = 'off'
           THEN pg_catalog.set_config('synchronous_commit', 'local', false) END AS synchronous_commit
FROM pg_catalog.pg_roles me
WHERE me.rolname = session_user

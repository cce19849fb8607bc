-- The two roles of one grant, and the server's clock. One row.
SELECT clock_timestamp() AS server_now,
       pg_is_in_recovery() AS in_recovery,
       current_user::text AS acting_as,
       login.oid::bigint AS login_oid,
       login.rolname::text AS login_name,
       login.rolcanlogin AS login_can_login,
       login.rolsuper OR login.rolcreaterole OR login.rolcreatedb OR login.rolreplication OR login.rolbypassrls
           AS login_is_elevated,
       CASE WHEN isfinite(login.rolvaliduntil) THEN login.rolvaliduntil END AS login_valid_until,
       login.rolvaliduntil = '-infinity' AS login_is_fenced,
       shobj_description(login.oid, 'pg_authid') AS login_tag,
       capability.oid::bigint AS capability_oid,
       -- What the capability role was given and should not have, in the words of ALTER ROLE.
       array_remove(ARRAY[CASE WHEN capability.rolcanlogin THEN 'LOGIN' END,
                          CASE WHEN capability.rolsuper THEN 'SUPERUSER' END,
                          CASE WHEN capability.rolcreaterole THEN 'CREATEROLE' END,
                          CASE WHEN capability.rolcreatedb THEN 'CREATEDB' END,
                          CASE WHEN capability.rolreplication THEN 'REPLICATION' END,
                          CASE WHEN capability.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS capability_attributes,
       shobj_description(capability.oid, 'pg_authid') AS capability_tag,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text || chr(10) || pg_get_userbyid(m.grantor)::text
             FROM pg_auth_members m WHERE m.member = capability.oid) AS capability_memberships,
       -- Everything that the role holds, owns or is named in, in any database: the index alone answers.
       (SELECT count(*) FROM pg_shdepend d
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = capability.oid) AS capability_mentions,
       -- Somebody stepped into it and left a routine here that runs with all that the set may do.
       EXISTS (SELECT FROM pg_shdepend d JOIN pg_proc p ON p.oid = d.objid
               WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = capability.oid AND d.deptype = 'o'
                 AND d.classid = 'pg_proc'::regclass AND p.prosecdef
                 AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
           AS capability_is_armed,
       ARRAY(SELECT m.roleid::bigint FROM pg_auth_members m WHERE m.member = login.oid) AS login_memberships
FROM (SELECT 1) AS one
LEFT JOIN pg_roles login ON login.rolname = %(role)s
LEFT JOIN pg_roles capability ON capability.rolname = %(capability)s

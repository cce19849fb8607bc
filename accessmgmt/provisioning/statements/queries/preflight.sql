-- What the role that does the portal's work may do: the admin role where the login steps into it or should, else the
-- login itself. One row; nothing is asked of a superuser's, who may do everything.
WITH me AS (SELECT r.oid, r.rolname, r.rolcreaterole FROM pg_roles r WHERE r.rolname = current_user),
     worker AS (
         SELECT r.oid, r.rolname, r.rolcreaterole FROM pg_roles r, me
         WHERE r.rolname = CASE
             WHEN NOT me.rolcreaterole AND EXISTS (SELECT FROM pg_roles a WHERE a.rolname = {admin_role})
             THEN {admin_role} ELSE me.rolname END),
     home AS (SELECT d.oid, d.datname, d.datdba FROM pg_database d WHERE d.datname = current_database()),
     -- Roles marked as the portal's that have to do with this database, and their members. Everybody with CREATEROLE can
     -- write such a mark: whoever reads this proves it before anything is advised.
     capability AS (
         SELECT DISTINCT s.refobjid AS oid FROM pg_shdepend s, home
         WHERE s.refclassid = 'pg_authid'::regclass
           AND (s.dbid = home.oid OR (s.classid = 'pg_database'::regclass AND s.objid = home.oid))
           AND shobj_description(s.refobjid, 'pg_authid') LIKE 'access-portal:%'),
     ours AS (
         SELECT c.oid FROM capability c
         UNION
         SELECT m.member FROM pg_auth_members m JOIN capability c ON c.oid = m.roleid
         WHERE shobj_description(m.member, 'pg_authid') LIKE 'access-portal:%')
SELECT session_user::text AS login,
       worker.rolname::text AS worker,
       home.datname::text AS database,
       worker.rolname = current_user AS is_stepped_in,
       worker.rolcreaterole AS may_create_roles,
       has_database_privilege(worker.oid, home.oid, 'CONNECT WITH GRANT OPTION') AS may_pass_connect,
       (SELECT NOT pg_has_role(worker.oid, q.oid, {set_option}) FROM pg_roles q WHERE q.rolname = {quarantine_role})
           AS lacks_quarantine,
       ARRAY(SELECT r.rolname || chr(10) || shobj_description(r.oid, 'pg_authid')
             FROM ours JOIN pg_roles r ON r.oid = ours.oid
             WHERE {needs_admin_option} AND NOT pg_has_role(worker.oid, r.oid, 'MEMBER WITH ADMIN OPTION')
             ORDER BY 1) AS not_administered
FROM worker, home

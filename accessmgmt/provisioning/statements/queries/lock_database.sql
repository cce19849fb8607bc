-- One worker of the portal at a time changes privileges in a database: two GRANTs on one object fail each other.
-- The key is no secret. Where somebody who is not of the portal holds it, or stands in line for it, work goes on without
-- it: each transaction is repeated when another got in between, and is verified.
SELECT CASE
    WHEN pg_try_advisory_xact_lock({0}, {1}) THEN 'taken'
    WHEN EXISTS (
        SELECT FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.classid = {0}::oid AND l.objid = {1}::oid AND l.objsubid = 2
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND pg_has_role(a.usesysid, current_user, 'MEMBER') IS NOT TRUE) THEN 'left to others'
    ELSE pg_advisory_xact_lock({0}, {1})::text
END AS lock

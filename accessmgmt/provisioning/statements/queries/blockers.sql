-- Who keeps a session waiting for a lock, and on what. A prepared transaction has pid 0: each that is in the way has a row
-- with its gid, found by the lock that is waited for. `tag` is the comment on the session's role.
WITH blocker AS MATERIALIZED (
    SELECT DISTINCT p.pid FROM unnest(pg_blocking_pids({pid})) p (pid)
),
lock AS MATERIALIZED (
    SELECT l.* FROM pg_locks l
),
-- Where somebody else stands in line before us, they wait for the same.
wanted AS (
    SELECT w.* FROM lock w WHERE NOT w.granted AND w.pid = {pid}
),
-- Which held mode keeps which wanted one waiting: https://www.postgresql.org/docs/current/explicit-locking.html
conflict (held, wanted) AS (
    VALUES ('AccessShareLock', '{{AccessExclusiveLock}}'::text[]),
           ('RowShareLock', '{{ExclusiveLock,AccessExclusiveLock}}'),
           ('RowExclusiveLock', '{{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}}'),
           ('ShareUpdateExclusiveLock',
            '{{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}}'),
           ('ShareLock', '{{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,'
                         'AccessExclusiveLock}}'),
           ('ShareRowExclusiveLock', '{{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,'
                                     'ExclusiveLock,AccessExclusiveLock}}'),
           ('ExclusiveLock', '{{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,'
                             'ExclusiveLock,AccessExclusiveLock}}'),
           ('AccessExclusiveLock', '{{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
                                   'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}}')
),
-- Every prepared transaction holds the lock of its own number, which tells whose its other locks are.
prepared AS (
    SELECT DISTINCT x.gid, x.database::text AS database, x.owner::text AS owner, x.prepared
    FROM wanted w
    JOIN lock h ON h.granted AND h.pid IS NULL
        AND (h.locktype, h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid,
             h.objsubid)
            IS NOT DISTINCT FROM (w.locktype, w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid,
                                  w.classid, w.objid, w.objsubid)
    JOIN conflict c ON c.held = h.mode AND w.mode = ANY (c.wanted)
    JOIN lock n ON n.granted AND n.pid IS NULL AND n.locktype = 'transactionid'
        AND n.virtualtransaction = h.virtualtransaction
    JOIN pg_prepared_xacts x ON x.transaction = n.transactionid
)
SELECT b.pid, coalesce(r.rolname::text, x.owner, '') AS role, shobj_description(r.oid, 'pg_authid') AS tag,
       coalesce(a.application_name, '') AS application_name, coalesce(a.xact_start, x.prepared) AS since,
       coalesce(r.rolsuper, false) AS is_superuser, coalesce(x.gid, '') AS gid, coalesce(x.database, '') AS database,
       coalesce((SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                 FROM wanted w
                 JOIN pg_class c ON c.oid = w.relation
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE w.locktype = 'relation'
                   AND w.database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
                 LIMIT 1), '') AS relation
FROM blocker b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
LEFT JOIN pg_roles r ON r.oid = a.usesysid
LEFT JOIN prepared x ON b.pid = 0
ORDER BY b.pid, x.gid

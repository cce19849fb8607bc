-- Routines and operators that a role left in schemas of others, by a name that something of others has as well: they
-- shadow it, or make a call ambiguous, and nobody may run them any more. `words` gets one out of the way; an operator
-- has no other name to get, and is dropped ("" where something uses it). `definition` makes an operator again.
SELECT p.oid::bigint AS oid, 'routine' AS kind, a.name, 'jit_left_' || p.oid AS new_name,
       format('ALTER ROUTINE %s RENAME TO %I', a.name, 'jit_left_' || p.oid) AS words, '' AS definition
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT format('%I.%I(%s)', n.nspname, p.proname, CASE p.prokind WHEN 'a' THEN oidvectortypes(p.proargtypes)
                  ELSE pg_get_function_identity_arguments(p.oid) END) AS name) a
WHERE p.proowner = {oid} AND n.nspowner <> {oid} AND n.nspname !~ '^pg_temp_'
  AND (EXISTS (SELECT FROM pg_proc q WHERE q.proname = p.proname AND q.proowner <> {oid})
       -- A call by the name of a type is a cast.
       OR EXISTS (SELECT FROM pg_type t WHERE t.typname = p.proname AND t.typowner <> {oid}))
UNION ALL
SELECT o.oid::bigint, 'operator', a.name, '',
       CASE WHEN EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid) THEN ''
            ELSE 'DROP OPERATOR ' || a.name END,
       format('CREATE OPERATOR %I.%s (FUNCTION = %s%s, RIGHTARG = %s)', n.nspname, o.oprname, o.oprcode,
              ', LEFTARG = ' || nullif(format_type(nullif(o.oprleft, 0), NULL), ''), format_type(o.oprright, NULL))
FROM pg_operator o
JOIN pg_namespace n ON n.oid = o.oprnamespace
CROSS JOIN LATERAL (
    SELECT format('%I.%s (%s, %s)', n.nspname, o.oprname, coalesce(format_type(nullif(o.oprleft, 0), NULL), 'NONE'),
                  format_type(o.oprright, NULL)) AS name) a
WHERE o.oprowner = {oid} AND n.nspowner <> {oid} AND n.nspname !~ '^pg_temp_'
  AND EXISTS (SELECT FROM pg_operator q WHERE q.oprname = o.oprname AND q.oprowner <> {oid})
ORDER BY 2, 3

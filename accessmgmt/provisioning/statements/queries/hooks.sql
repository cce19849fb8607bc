-- What a role hung on objects of others in this database. `kind`: `code` runs the role's routines as whoever uses the
-- other's table; `key` is a foreign key of the role's own table, which makes the other's DELETE fail; `trigger` came
-- during the grant, on a table on which its set has TRIGGER, and calls a function that is not the role's.
-- `words` undoes it, `milder` makes it sleep ("" where that cannot be said), `definition` makes it again.
WITH mine (classid, objid) AS (
    SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc p WHERE p.proowner = {oid}
    UNION ALL
    SELECT 'pg_operator'::regclass::oid, o.oid FROM pg_operator o WHERE o.oprowner = {oid}
), hung AS (
    SELECT DISTINCT d.classid, d.objid
    FROM mine m JOIN pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid
), hook (kind, relation, words, milder, definition) AS (
    SELECT 'code', t.tgrelid, format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
           CASE c.relkind WHEN 'v' THEN '' ELSE format('ALTER TABLE %s DISABLE TRIGGER %I', t.tgrelid::regclass, t.tgname) END,
           pg_get_triggerdef(t.oid)
    FROM hung h JOIN pg_trigger t ON h.classid = 'pg_trigger'::regclass AND t.oid = h.objid
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relowner <> {oid} AND NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT 'code', a.adrelid,
           format('ALTER TABLE %s ALTER COLUMN %I DROP %s', a.adrelid::regclass, b.attname,
                  CASE b.attgenerated WHEN '' THEN 'DEFAULT' ELSE 'EXPRESSION' END), '',
           format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', a.adrelid::regclass, b.attname,
                  pg_get_expr(a.adbin, a.adrelid))
    FROM hung h JOIN pg_attrdef a ON h.classid = 'pg_attrdef'::regclass AND a.oid = h.objid
    JOIN pg_attribute b ON b.attrelid = a.adrelid AND b.attnum = a.adnum
    JOIN pg_class c ON c.oid = a.adrelid WHERE c.relowner <> {oid}
    UNION ALL
    SELECT 'code', r.ev_class, format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass), '', pg_get_ruledef(r.oid)
    FROM hung h JOIN pg_rewrite r ON h.classid = 'pg_rewrite'::regclass AND r.oid = h.objid
    JOIN pg_class c ON c.oid = r.ev_class WHERE c.relowner <> {oid} AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'code', k.conrelid, format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname), '',
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM hung h JOIN pg_constraint k ON h.classid = 'pg_constraint'::regclass AND k.oid = h.objid
    JOIN pg_class c ON c.oid = k.conrelid WHERE c.relowner <> {oid} AND k.conparentid = 0 AND k.coninhcount = 0
    UNION ALL
    SELECT 'code', x.indrelid, format('DROP INDEX %s', x.indexrelid::regclass), '', pg_get_indexdef(x.indexrelid)
    FROM hung h JOIN pg_index x ON h.classid = 'pg_class'::regclass AND x.indexrelid = h.objid
    JOIN pg_class c ON c.oid = x.indexrelid
    WHERE c.relowner <> {oid} AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
    UNION ALL
    SELECT 'code', y.polrelid, format('DROP POLICY %I ON %s', y.polname, y.polrelid::regclass), '', ''
    FROM hung h JOIN pg_policy y ON h.classid = 'pg_policy'::regclass AND y.oid = h.objid
    JOIN pg_class c ON c.oid = y.polrelid WHERE c.relowner <> {oid}
    UNION ALL
    SELECT 'key', k.conrelid, format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname), '',
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid JOIN pg_class f ON f.oid = k.confrelid
    WHERE c.relowner = {oid} AND f.relowner <> {oid} AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT CASE WHEN o.is_never OR o.is_ours THEN 'code' ELSE 'trigger' END, t.tgrelid,
           format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
           CASE c.relkind WHEN 'v' THEN '' ELSE format('ALTER TABLE %s DISABLE TRIGGER %I', t.tgrelid::regclass, t.tgname) END,
           pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    CROSS JOIN LATERAL (
        -- Functions of the server that no application puts there; suppress_redundant_updates_trigger has one place.
        SELECT p.pronamespace = 'pg_catalog'::regnamespace
               AND p.proname NOT IN ('tsvector_update_trigger', 'tsvector_update_trigger_column')
               AND NOT (p.proname = 'suppress_redundant_updates_trigger' AND t.tgtype = 19) AS is_never,
               coalesce(shobj_description(p.proowner, 'pg_authid') LIKE 'access-portal:%', false)
               OR pg_get_userbyid(p.proowner) = 'jit_quarantine' AS is_ours) o
    WHERE {knows_triggers} AND NOT t.tgisinternal AND t.tgparentid = 0 AND NOT t.oid = ANY ({triggers}::oid[])
      AND c.relowner <> {oid} AND p.proowner <> {oid}
      AND (o.is_ours OR has_function_privilege('public', p.oid, 'EXECUTE'))
      AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = {capability} AND has_table_privilege(r.oid, c.oid, 'TRIGGER'))
)
SELECT h.kind, h.relation::regclass::text AS relation, quote_ident(pg_get_userbyid(c.relowner)) AS owner, h.words, h.milder,
       h.definition
FROM hook h JOIN pg_class c ON c.oid = h.relation
WHERE c.relpersistence <> 't'
ORDER BY 1, 2, 4

-- Run as the login role: what PostgreSQL says it may do on the relations of the set. Each wanted privilege has its own
-- call, because a comma list means "any of them"; for the unwanted ones that is just what is asked. It reads no catalog
-- by itself: in a session that has just begun, planning over catalogs costs more than the answer.
SELECT session_user::text AS logged_in_as,
       clock_timestamp() AS verified_at,
       ARRAY(SELECT s::bigint FROM unnest(%(schema_oids)s::oid[]) s
             WHERE NOT has_schema_privilege(s, 'USAGE')) AS closed_schemas,
       ARRAY(SELECT s::bigint FROM unnest(%(sequence_oids)s::oid[]) s WHERE {has_sequence}) AS usable_sequences,
       ARRAY(SELECT r::bigint FROM unnest(%(relation_oids)s::oid[]) r WHERE NOT ({has_wanted})) AS lacking,
       ARRAY(SELECT r::bigint FROM unnest(%(relation_oids)s::oid[]) r WHERE {has_more}) AS more

"""Acts of people with a grant: making things."""

from __future__ import annotations

from tests.hostile.acts import GRANTEES, PEOPLE, Act, How, act

RUN = (
    "CREATE OR REPLACE FUNCTION {schema}.{p}_run() RETURNS void LANGUAGE plpgsql AS"
    " $$BEGIN INSERT INTO bait.marks VALUES (current_user, '{p}'); END$$"
)
"""What shows as whom somebody's code runs."""
PURE = (
    "CREATE OR REPLACE FUNCTION {schema}.{p}_pure(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
    " $$BEGIN PERFORM {schema}.{p}_run(); RETURN $1; END$$"
)
FIRE = (
    "CREATE OR REPLACE FUNCTION {schema}.{p}_fire() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN INSERT INTO bait.marks VALUES (current_user, '{p}'); RETURN coalesce(new, old); END$$"
)
TABLE = "CREATE TABLE IF NOT EXISTS {schema}.{p}_t (id int PRIMARY KEY, note text)"
FILL = "INSERT INTO {schema}.{p}_t SELECT n, 'x' FROM generate_series(1, 50) n ON CONFLICT DO NOTHING"

MAKING: tuple[Act, ...] = (
    act("create table", PEOPLE, TABLE, FILL),
    act("copy a table", GRANTEES, "CREATE TABLE {schema}.{p}_copy AS SELECT * FROM app.orders"),
    act("create view", GRANTEES, "CREATE VIEW {schema}.{p}_view AS SELECT * FROM app.orders"),
    act("create materialized view", GRANTEES, "CREATE MATERIALIZED VIEW {schema}.{p}_mat AS SELECT * FROM app.orders"),
    act("create function", PEOPLE, RUN),
    act(
        "create security definer function",
        GRANTEES,
        "CREATE FUNCTION {schema}.{p}_peek() RETURNS SETOF app.orders LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT * FROM app.orders'",
    ),
    act(
        "create security definer procedure",
        GRANTEES,
        "CREATE PROCEDURE {schema}.{p}_do(text) LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN EXECUTE $1; END$$",
        "GRANT EXECUTE ON PROCEDURE {schema}.{p}_do(text) TO {whom}",
    ),
    act(
        "trigger on app table",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_trigger AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "truncate trigger on app table",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_truncated BEFORE TRUNCATE ON app.lines EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "trigger with a built-in function",
        GRANTEES,
        "CREATE TRIGGER {p}_nop BEFORE INSERT ON app.customers FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
    act(
        "trigger with the application's function",
        GRANTEES,
        "CREATE TRIGGER {p}_touch BEFORE UPDATE ON app.lines FOR EACH ROW EXECUTE FUNCTION app.touch()",
    ),
    act(
        "trigger on partitioned table",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_parts AFTER INSERT ON app.measures FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "trigger on view",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_instead INSTEAD OF INSERT ON app.recent FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "constraint trigger",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE CONSTRAINT TRIGGER {p}_late AFTER UPDATE ON app.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "trigger with a when clause",
        GRANTEES,
        RUN,
        FIRE,
        PURE,
        "CREATE TRIGGER {p}_when BEFORE UPDATE ON app.orders FOR EACH ROW WHEN ({schema}.{p}_pure(new.id) > 0)"
        " EXECUTE FUNCTION app.touch()",
    ),
    act(
        "foreign key",
        GRANTEES,
        "CREATE TABLE {schema}.{p}_ref (id int REFERENCES app.orders)",
        "INSERT INTO {schema}.{p}_ref SELECT id FROM app.orders",
    ),
    act(
        "foreign key that cascades into code",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TABLE {schema}.{p}_child (id int REFERENCES app.orders ON DELETE CASCADE)",
        "INSERT INTO {schema}.{p}_child SELECT id FROM app.orders",
        "CREATE TRIGGER {p}_gone AFTER DELETE ON {schema}.{p}_child FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "foreign key to a partitioned table or unique column",
        GRANTEES,
        "CREATE TABLE {schema}.{p}_named (name varchar REFERENCES app.customers (name) ON UPDATE SET NULL)",
        "INSERT INTO {schema}.{p}_named SELECT name FROM app.customers",
    ),
    act("inherit from app table", GRANTEES, "CREATE TABLE {schema}.{p}_heir () INHERITS (app.orders)"),
    act(
        "own trigger",
        GRANTEES,
        TABLE,
        FILL,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_own AFTER INSERT ON {schema}.{p}_t FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "own rule",
        GRANTEES,
        TABLE,
        RUN,
        "CREATE RULE {p}_rule AS ON INSERT TO {schema}.{p}_t DO ALSO SELECT {schema}.{p}_run()",
    ),
    act(
        "rule on app table",
        GRANTEES,
        RUN,
        "CREATE RULE {p}_rule AS ON INSERT TO app.orders DO ALSO SELECT {schema}.{p}_run()",
    ),
    act(
        "default on app table",
        GRANTEES,
        RUN,
        PURE,
        "ALTER TABLE app.orders ALTER touched SET DEFAULT {schema}.{p}_pure(1)",
    ),
    act(
        "trigger on app table as its owner",
        GRANTEES,
        RUN,
        FIRE,
        "CREATE TRIGGER {p}_owned BEFORE DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act(
        "policy on app table",
        GRANTEES,
        "ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY {p}_policy ON app.orders USING (current_user = '{me}')",
    ),
    act("expression index", GRANTEES, TABLE, FILL, RUN, PURE, "CREATE INDEX ON {schema}.{p}_t ({schema}.{p}_pure(id))"),
    act(
        "partial index",
        GRANTEES,
        TABLE,
        FILL,
        RUN,
        PURE,
        "CREATE INDEX ON {schema}.{p}_t (id) WHERE {schema}.{p}_pure(id) > 0",
    ),
    act(
        "extended statistics with an expression",
        GRANTEES,
        TABLE,
        FILL,
        RUN,
        PURE,
        "CREATE STATISTICS {schema}.{p}_stat ON ({schema}.{p}_pure(id)) FROM {schema}.{p}_t",
    ),
    act(
        "materialized view with code",
        GRANTEES,
        TABLE,
        FILL,
        RUN,
        PURE,
        "CREATE MATERIALIZED VIEW {schema}.{p}_mv AS SELECT {schema}.{p}_pure(id) AS id FROM {schema}.{p}_t",
        "CREATE INDEX ON {schema}.{p}_mv ({schema}.{p}_pure(id))",
    ),
    act(
        "check constraint and generated column",
        GRANTEES,
        RUN,
        PURE,
        "CREATE TABLE {schema}.{p}_checked (id int CHECK ({schema}.{p}_pure(id) > 0),"
        " twice int GENERATED ALWAYS AS ({schema}.{p}_pure(id) * 2) STORED, d int DEFAULT {schema}.{p}_pure(1))",
        "INSERT INTO {schema}.{p}_checked (id) VALUES (1)",
    ),
    act(
        "own policy",
        GRANTEES,
        TABLE,
        "ALTER TABLE {schema}.{p}_t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY {p}_policy ON {schema}.{p}_t TO {whom} USING (true)",
    ),
    act(
        "domain with code",
        GRANTEES,
        RUN,
        PURE,
        "CREATE DOMAIN {schema}.{p}_domain AS int CHECK ({schema}.{p}_pure(value) > 0)",
    ),
    act(
        "enum and composite type",
        PEOPLE,
        "CREATE TYPE {schema}.{p}_enum AS ENUM ('x', 'y')",
        "CREATE TYPE {schema}.{p}_pair AS (a int, b {schema}.{p}_enum)",
    ),
    act("range type", GRANTEES, "CREATE TYPE {schema}.{p}_range AS RANGE (subtype = int)"),
    act(
        "operator",
        GRANTEES,
        RUN,
        "CREATE FUNCTION {schema}.{p}_join(varchar, varchar) RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM {schema}.{p}_run(); RETURN $1::text || $2::text; END$$",
        "CREATE OPERATOR {schema}.|| (leftarg = varchar, rightarg = varchar, function = {schema}.{p}_join)",
    ),
    act(
        "shadow a system function",
        GRANTEES,
        RUN,
        "CREATE FUNCTION {schema}.lower(varchar) RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO bait.marks VALUES (current_user, '{p}'); RETURN upper($1); END$$",
    ),
    act(
        "shadow an app function",
        GRANTEES,
        RUN,
        "CREATE FUNCTION {schema}.number_of_orders(int DEFAULT 0) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'",
    ),
    act(
        "cast",
        GRANTEES,
        "CREATE TYPE {schema}.{p}_castable AS (a int)",
        "CREATE FUNCTION {schema}.{p}_cast({schema}.{p}_castable) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
        "CREATE CAST ({schema}.{p}_castable AS int) WITH FUNCTION {schema}.{p}_cast({schema}.{p}_castable) AS IMPLICIT",
    ),
    act("aggregate", GRANTEES, "CREATE AGGREGATE {schema}.{p}_sum(int) (sfunc = int4pl, stype = int, initcond = '0')"),
    act(
        "collation and conversion",
        GRANTEES,
        'CREATE COLLATION {schema}.{p}_collation FROM "C"',
        "CREATE CONVERSION {schema}.{p}_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    ),
    act(
        "text search",
        GRANTEES,
        "CREATE TEXT SEARCH DICTIONARY {schema}.{p}_words (TEMPLATE = simple)",
        "CREATE TEXT SEARCH CONFIGURATION {schema}.{p}_search (COPY = simple)",
    ),
    act("operator family", GRANTEES, "CREATE OPERATOR FAMILY {schema}.{p}_family USING btree"),
    act("sequence", PEOPLE, "CREATE SEQUENCE {schema}.{p}_seq", "GRANT USAGE ON SEQUENCE {schema}.{p}_seq TO {whom}"),
    act(
        "partitioned table",
        GRANTEES,
        "CREATE TABLE {schema}.{p}_parted (id int) PARTITION BY LIST (id)",
        "CREATE TABLE {schema}.{p}_parted_1 PARTITION OF {schema}.{p}_parted FOR VALUES IN (1)",
    ),
    act(
        "create schema",
        GRANTEES,
        "CREATE SCHEMA {p}_schema",
        "CREATE TABLE {p}_schema.{p}_t (id int)",
        "GRANT USAGE, CREATE ON SCHEMA {p}_schema TO {whom}",
        "GRANT SELECT ON {p}_schema.{p}_t TO {whom}",
    ),
    act("table named like a pattern", GRANTEES, 'CREATE TABLE {schema}."events_*" (id int)'),
    act("table that a pattern matches", GRANTEES, "CREATE TABLE {schema}.events_{p} (id int)"),
    act("table with the name of an app table", GRANTEES, "CREATE TABLE {schema}.orders (id int, item varchar)"),
    act("rename into a pattern", GRANTEES, TABLE, "ALTER TABLE {schema}.{p}_t RENAME TO events_mine_{p}"),
    act("move into the application's schema", GRANTEES, TABLE, "ALTER TABLE {schema}.{p}_t SET SCHEMA app"),
    act("trusted extension", GRANTEES, "CREATE EXTENSION IF NOT EXISTS hstore SCHEMA {schema}"),
    act("publication", GRANTEES, TABLE, "CREATE PUBLICATION {p}_pub FOR TABLE {schema}.{p}_t"),
    act(
        "subscription",
        GRANTEES,
        "CREATE SUBSCRIPTION {p}_sub CONNECTION 'host=nowhere password=x' PUBLICATION p WITH (connect = false)",
    ),
    act(
        "foreign server",
        GRANTEES,
        "CREATE SERVER {p}_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'localhost', dbname 'postgres')",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER {p}_server OPTIONS (user '{me}', password 'x')",
        "CREATE USER MAPPING FOR PUBLIC SERVER {p}_server OPTIONS (user 'walter')",
        "CREATE FOREIGN TABLE {schema}.{p}_foreign (id int) SERVER {p}_server",
        "GRANT USAGE ON FOREIGN SERVER {p}_server TO {whom}",
    ),
    act("large object", PEOPLE, "SELECT lo_create({lo})", "SELECT lowrite(lo_open({lo}, 131072), 'x')"),
    act(
        "large object elsewhere",
        GRANTEES,
        "SELECT lo_create({lo})",
        "GRANT SELECT ON LARGE OBJECT {lo} TO {whom}",
        how=How.SIDE,
    ),
    act(
        "objects elsewhere",
        GRANTEES,
        "CREATE TABLE public.{p}_there (id int)",
        "GRANT SELECT ON public.{p}_there TO {whom}",
        "CREATE FUNCTION public.{p}_there() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        how=How.SIDE,
    ),
    act(
        "temporary objects",
        PEOPLE,
        "CREATE TEMP TABLE {p}_temp (id int)",
        "GRANT SELECT ON {p}_temp TO {whom}",
        "CREATE TEMP VIEW {p}_temp_view AS SELECT 1 AS one",
        how=How.STAY,
    ),
    act(
        "temporary function",
        GRANTEES,
        "CREATE FUNCTION pg_temp.{p}_f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        how=How.STAY,
    ),
    act("comment", GRANTEES, TABLE, "COMMENT ON TABLE {schema}.{p}_t IS 'access-portal:hostile:set:0'"),
    act(
        "event trigger",
        GRANTEES,
        FIRE,
        "CREATE EVENT TRIGGER {p}_event ON ddl_command_end EXECUTE FUNCTION {schema}.{p}_fire()",
    ),
    act("create role", GRANTEES, "CREATE ROLE {p}_friend"),
    act("create database", GRANTEES, "CREATE DATABASE {p}_db"),
    act(
        "fill the own database",
        GRANTEES,
        "CREATE TABLE public.{p}_inside AS SELECT 1 AS one",
        "GRANT SELECT ON public.{p}_inside TO {whom}",
        "SELECT lo_create({lo})",
        how=How.MADE,
    ),
    act("do block", GRANTEES, "DO $$BEGIN EXECUTE 'GRANT SELECT ON app.orders TO {whom}'; END$$"),
)

-- What an application has in its database before anybody gets access, and what a grantee must not reach.
-- Made by the application's owner, except for the schemas that a DBA keeps.
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('calm', 'busy');
CREATE TABLE app.orders (id serial PRIMARY KEY, item varchar(40), mood app.mood DEFAULT 'calm', touched int DEFAULT 0);
CREATE TABLE app.customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(40) UNIQUE);
CREATE TABLE app.lines (order_id int REFERENCES app.orders ON DELETE CASCADE, amount int CHECK (amount >= 0));
CREATE TABLE app.events_2024 (id int, note text);
CREATE TABLE app.events_2025 (id int, note text);
CREATE TABLE app."eventsX" (id int);
CREATE VIEW app.recent AS SELECT * FROM app.orders;
CREATE MATERIALIZED VIEW app.totals AS SELECT count(*) AS n FROM app.orders;
CREATE TABLE app.measures (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE app.measures_1 PARTITION OF app.measures FOR VALUES FROM ('2024-01-01') TO ('2030-01-01');
CREATE SEQUENCE app.free_numbers;
CREATE TABLE app.tickets (id bigint DEFAULT nextval('app.free_numbers'), note text);
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN new.touched := old.touched + 1; RETURN new; END$$;
CREATE TRIGGER touched BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE FUNCTION app.number_of_orders() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM app.orders';
INSERT INTO app.orders (item) SELECT 'tea ' || n FROM generate_series(1, 5) n;
INSERT INTO app.customers (name) VALUES ('Ann'), ('Ben');
INSERT INTO app.lines SELECT id, 1 FROM app.orders;
INSERT INTO app.events_2024 VALUES (1, 'a'); INSERT INTO app.events_2025 VALUES (1, 'b');
INSERT INTO app.measures VALUES (1, '2024-05-05');
GRANT USAGE ON SCHEMA app TO walter;
GRANT SELECT ON app.customers TO walter;
CREATE SCHEMA secret;
CREATE TABLE secret.salaries (id int, amount int);
INSERT INTO secret.salaries VALUES (1, 100);

-- What no authorization of the demo names, to show that nobody gets it.
CREATE SCHEMA internal;
CREATE TABLE internal.employees (
    id serial PRIMARY KEY,
    full_name text NOT NULL,
    hired_on date NOT NULL
);
CREATE TABLE internal.payroll (
    employee_id int NOT NULL REFERENCES internal.employees,
    month date NOT NULL,
    gross_cents bigint NOT NULL,
    PRIMARY KEY (employee_id, month)
);
CREATE TABLE internal.api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    digest bytea NOT NULL
);
INSERT INTO internal.employees (full_name, hired_on)
SELECT 'Employee ' || n, current_date - n * 40 FROM generate_series(1, 40) AS n;
INSERT INTO internal.payroll (employee_id, month, gross_cents)
SELECT id, date_trunc('month', now())::date - (m || ' months')::interval, 300000 + id * 4100
FROM internal.employees, generate_series(1, 6) AS m;
INSERT INTO internal.api_keys (service, digest)
SELECT 'service-' || n, sha256(n::text::bytea) FROM generate_series(1, 5) AS n;

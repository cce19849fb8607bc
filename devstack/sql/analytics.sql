-- What happened, in monthly partitions, and what was computed from it.
CREATE SCHEMA analytics;
CREATE TABLE analytics.events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    customer_id int,
    properties jsonb NOT NULL DEFAULT '{}',
    happened_at timestamptz NOT NULL
) PARTITION BY RANGE (happened_at);
DO $$
DECLARE first_day date;
BEGIN
    FOR first_day IN SELECT generate_series(date_trunc('month', now()) - interval '5 months',
                                            date_trunc('month', now()) + interval '1 month', interval '1 month')::date
    LOOP
        EXECUTE format('CREATE TABLE analytics.%I PARTITION OF analytics.events FOR VALUES FROM (%L) TO (%L)',
                       'events_' || to_char(first_day, 'YYYY_MM'), first_day, (first_day + interval '1 month')::date);
    END LOOP;
END $$;
CREATE TABLE analytics.events_other PARTITION OF analytics.events DEFAULT;
CREATE TABLE analytics.metrics (
    name text NOT NULL,
    measured_at timestamptz NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (name, measured_at)
);
CREATE TABLE analytics.campaigns (
    id serial PRIMARY KEY,
    name text NOT NULL,
    started_on date NOT NULL,
    budget_cents bigint NOT NULL
);
CREATE TABLE analytics.funnels (
    day date NOT NULL,
    step text NOT NULL,
    visitors int NOT NULL,
    PRIMARY KEY (day, step)
);

INSERT INTO analytics.events (kind, customer_id, properties, happened_at)
SELECT (ARRAY['view', 'view', 'view', 'cart', 'buy'])[1 + n % 5], 1 + n % 800, jsonb_build_object('product', 1 + n % 120),
       now() - (n * 45 || ' minutes')::interval
FROM generate_series(1, 4000) AS n;
INSERT INTO analytics.metrics (name, measured_at, value)
SELECT name, date_trunc('hour', now()) - (n || ' hours')::interval, round((50 + 40 * sin(n / 8.0))::numeric, 2)
FROM generate_series(1, 500) AS n, unnest(ARRAY['latency_ms', 'orders_per_hour']) AS name;
INSERT INTO analytics.campaigns (name, started_on, budget_cents)
SELECT 'Campaign ' || n, current_date - n * 14, n * 25000 FROM generate_series(1, 12) AS n;
INSERT INTO analytics.funnels (day, step, visitors)
SELECT current_date - n, step.name, (2000 + n * 17 % 400) / step.share
FROM generate_series(1, 90) AS n, (VALUES ('visit', 1), ('cart', 6), ('checkout', 11), ('paid', 14)) AS step (name, share);

CREATE MATERIALIZED VIEW analytics.daily_revenue AS
SELECT issued_on AS day, count(*) AS invoices, sum(total_cents) AS revenue_cents FROM public.invoices GROUP BY issued_on;
CREATE UNIQUE INDEX daily_revenue_day ON analytics.daily_revenue (day);
CREATE VIEW analytics.buyers_by_country AS
SELECT c.country, count(DISTINCT o.customer_id) AS buyers
FROM public.orders AS o JOIN public.customers AS c ON c.id = o.customer_id GROUP BY c.country;

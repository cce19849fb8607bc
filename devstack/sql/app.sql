-- What the shop's own software keeps.
CREATE SCHEMA app;
CREATE TABLE app.users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login text NOT NULL UNIQUE,
    role text NOT NULL DEFAULT 'staff',
    last_login_at timestamptz
);
CREATE TABLE app.sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id bigint NOT NULL REFERENCES app.users,
    started_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
);
CREATE TABLE app.feature_flags (
    name text PRIMARY KEY,
    is_on boolean NOT NULL DEFAULT false,
    share_percent int NOT NULL DEFAULT 0 CHECK (share_percent BETWEEN 0 AND 100),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE app.jobs (
    id serial PRIMARY KEY,
    kind text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    payload jsonb NOT NULL DEFAULT '{}',
    attempts int NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE app.settings (
    name text PRIMARY KEY,
    value jsonb NOT NULL
);
CREATE TABLE app.tickets (
    id serial PRIMARY KEY,
    customer_id int NOT NULL REFERENCES public.customers,
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'open',
    opened_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO app.users (login, role, last_login_at)
SELECT 'staff' || n || '@shop.example', CASE WHEN n % 10 = 0 THEN 'lead' ELSE 'staff' END, now() - (n || ' hours')::interval
FROM generate_series(1, 60) AS n;
INSERT INTO app.sessions (user_id, started_at, ends_at)
SELECT id, now() - interval '2 hours', now() + interval '6 hours' FROM app.users WHERE id % 3 = 0;
INSERT INTO app.feature_flags (name, is_on, share_percent) VALUES
    ('new_checkout', true, 25), ('gift_cards', true, 100), ('dark_mode', false, 0), ('fast_search', true, 50);
INSERT INTO app.jobs (kind, state, payload, attempts, queued_at)
SELECT (ARRAY['send_invoice', 'resize_image', 'sync_stock'])[1 + n % 3],
       (ARRAY['done', 'done', 'done', 'failed', 'waiting'])[1 + n % 5], jsonb_build_object('order', n), n % 4,
       now() - (n || ' minutes')::interval
FROM generate_series(1, 600) AS n;
INSERT INTO app.settings VALUES ('currency', '"EUR"'), ('vat_percent', '19'), ('opening_hours', '{"mon": "9-18"}');
INSERT INTO app.tickets (customer_id, subject, state, opened_at)
SELECT 1 + n % 800, (ARRAY['Late parcel', 'Wrong colour', 'Refund', 'Invoice copy'])[1 + n % 4],
       CASE WHEN n % 4 = 0 THEN 'open' ELSE 'closed' END, now() - (n * 5 || ' hours')::interval
FROM generate_series(1, 300) AS n;

CREATE VIEW app.failed_jobs AS SELECT id, kind, attempts, queued_at FROM app.jobs WHERE state = 'failed';
CREATE FUNCTION app.requeue_job(job int) RETURNS void LANGUAGE sql AS
$$ UPDATE app.jobs SET state = 'waiting', attempts = 0 WHERE id = job AND state = 'failed' $$;
REVOKE EXECUTE ON FUNCTION app.requeue_job FROM PUBLIC;

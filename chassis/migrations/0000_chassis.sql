-- What every service has: the events it has seen, and what is still to be published.

-- depends:

CREATE TABLE seen (
    event uuid PRIMARY KEY,
    seen_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX seen_by_time ON seen USING brin (seen_time);

CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    create_time timestamptz NOT NULL DEFAULT now(),
    records bytea NOT NULL
);

-- First answers to calls, so that a repeat gets the same. Profile had this table of its own before.

-- depends: 0000_chassis

CREATE TABLE IF NOT EXISTS requests (
    request_id text PRIMARY KEY,
    create_time bigint NOT NULL,
    digest bytea NOT NULL,
    response bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_by_time ON requests USING brin (create_time);

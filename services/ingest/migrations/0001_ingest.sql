-- What Meta posted, byte for byte; found by time, and by the people inside through blind indexes.
CREATE TABLE webhooks (
    webhook_id text PRIMARY KEY,
    receive_time timestamptz NOT NULL,
    app text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'broken_json')),
    reason text NOT NULL,
    item_count int NOT NULL,
    unrecognised_count int NOT NULL,
    refused_count int NOT NULL,
    fields text[] NOT NULL,
    waba_ids text[] NOT NULL,
    phone_number_ids text[] NOT NULL,
    blind_indexes bytea[] NOT NULL,
    size_bytes int NOT NULL,
    body bytea NOT NULL
);
-- Rows come in the order of time, so a block range says it all in a few pages.
CREATE INDEX webhooks_receive_time ON webhooks USING brin (receive_time) WITH (pages_per_range = 16);
CREATE INDEX webhooks_blind_indexes ON webhooks USING gin (blind_indexes);

CREATE TABLE links (
    token text PRIMARY KEY,
    -- A hash of what the link is: the same target for the same message is the same link.
    spec uuid NOT NULL UNIQUE,
    link_id text NOT NULL,
    url text NOT NULL,
    message_id text NOT NULL,
    campaign_id text NOT NULL,
    contact_id text NOT NULL,
    expire_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX links_expire_time ON links (expire_time);

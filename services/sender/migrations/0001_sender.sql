-- What the sender owns. Times are milliseconds since 1970 UTC; 0 is never.
-- `messages` is spread by message_id (what a status brings), the tables of contacts by contact_id.

-- depends:

CREATE TABLE numbers (
    phone_number_id text PRIMARY KEY,
    waba_id text NOT NULL,
    portfolio_id text NOT NULL DEFAULT '',
    display_phone_number text NOT NULL DEFAULT '',
    verified_name text NOT NULL DEFAULT '',
    throughput_level text NOT NULL DEFAULT '',
    throughput double precision NOT NULL,
    messaging_limit text NOT NULL DEFAULT '',
    quality_rating text NOT NULL DEFAULT '',
    paused boolean NOT NULL DEFAULT false,
    state_reason text NOT NULL DEFAULT '',
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    sync_time bigint NOT NULL
);

CREATE TABLE templates (
    template_id text PRIMARY KEY,
    waba_id text NOT NULL,
    name text NOT NULL,
    language text NOT NULL,
    category text NOT NULL,
    effective_category text NOT NULL,
    announced_category text NOT NULL DEFAULT '',
    announced_time bigint NOT NULL DEFAULT 0,
    state text NOT NULL,
    state_reason text NOT NULL DEFAULT '',
    state_detail text NOT NULL DEFAULT '',
    named boolean NOT NULL DEFAULT false,
    components bytea NOT NULL,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    state_time bigint NOT NULL DEFAULT 0,
    request_id text NOT NULL DEFAULT '',
    UNIQUE (waba_id, name, language)
);

CREATE TABLE campaigns (
    campaign_id text PRIMARY KEY,
    name text NOT NULL,
    state smallint NOT NULL,
    state_reason text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    definition bytea NOT NULL,
    planned boolean NOT NULL DEFAULT false,
    plan_cursor text NOT NULL DEFAULT '',
    plan_lease bigint NOT NULL DEFAULT 0,
    swept boolean NOT NULL DEFAULT true, -- false: some of its messages are still to be moved
    recipients bigint NOT NULL DEFAULT 0,
    unresolved bigint NOT NULL DEFAULT 0,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    start_time bigint NOT NULL DEFAULT 0,
    launch_time bigint NOT NULL DEFAULT 0,
    end_time bigint NOT NULL DEFAULT 0
);
CREATE INDEX campaigns_moving ON campaigns (state) WHERE state IN (2, 3, 4, 7);

CREATE TABLE messages (
    message_id text PRIMARY KEY,
    contact_id text NOT NULL,
    campaign_id text NOT NULL,
    occurrence_id text NOT NULL,
    phone_number_id text NOT NULL,
    template text NOT NULL,
    language text NOT NULL,
    variant text NOT NULL,
    propensity double precision NOT NULL,
    purpose text NOT NULL,
    context_wamid text NOT NULL,
    body bytea NOT NULL,
    lane smallint NOT NULL,
    not_after bigint NOT NULL,
    plan_time bigint NOT NULL,
    received_time bigint NOT NULL,
    traceparent text NOT NULL,
    category text NOT NULL,
    market text NOT NULL,
    state smallint NOT NULL,
    gate text NOT NULL,
    reason text NOT NULL,
    error_code integer NOT NULL,
    wamid text NOT NULL,
    attempts integer NOT NULL,
    -- When it is next looked at: planned and held, when it is due; attempting, when its lease ends;
    -- unknown, when it is given up.
    due_time bigint NOT NULL,
    attempt_time bigint NOT NULL,
    sent_time bigint NOT NULL,
    delivered_time bigint NOT NULL,
    read_time bigint NOT NULL,
    played_time bigint NOT NULL,
    failed_time bigint NOT NULL,
    clicked_time bigint NOT NULL,
    replied_time bigint NOT NULL,
    implied smallint NOT NULL,
    pricing bytea NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX messages_due ON messages (phone_number_id, lane, due_time) WHERE state IN (1, 2);
CREATE INDEX messages_open ON messages (due_time) WHERE state IN (3, 4);
CREATE INDEX messages_of_campaign ON messages (campaign_id, message_id) WHERE campaign_id <> '';
CREATE INDEX messages_waiting ON messages (campaign_id) WHERE state IN (1, 2, 3) AND campaign_id <> '';
CREATE INDEX messages_of_contact ON messages (contact_id, sent_time);
CREATE INDEX messages_by_wamid ON messages (wamid) WHERE wamid <> '';

CREATE TABLE windows (
    contact_id text NOT NULL,
    phone_number_id text NOT NULL,
    last_time bigint NOT NULL,
    PRIMARY KEY (contact_id, phone_number_id)
);

CREATE TABLE saturations (
    contact_id text PRIMARY KEY,
    last_time bigint NOT NULL
);

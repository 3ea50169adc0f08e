-- Experiments, definitions of success, alerts, and what Meta said of quality.
-- depends: 0005_rollups

CREATE TABLE experiments (
    experiment_id text COLLATE "C" PRIMARY KEY,
    campaign_id text COLLATE "C" NOT NULL UNIQUE,
    state text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    create_time timestamptz NOT NULL,
    -- When a replica looks at it next, while it runs
    judge_time timestamptz NOT NULL,
    -- All of it (MessagePack)
    experiment bytea NOT NULL,
    -- What came of the recipients when a replica last looked (MessagePack)
    known bytea
);
CREATE INDEX experiments_by_create ON experiments (create_time, experiment_id);
CREATE INDEX experiments_running ON experiments (judge_time) WHERE state = 'running';

CREATE TABLE conversions (
    conversion_id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    version integer NOT NULL,
    -- All of it (MessagePack)
    conversion bytea NOT NULL
);

-- What `order_facts` are of orders, of every other definition.
CREATE TABLE conversion_facts (
    contact_id text COLLATE "C" NOT NULL,
    conversion_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    order_time timestamptz,
    value_time timestamptz,
    value_micros bigint,
    currency text COLLATE "C",
    cancel_time timestamptz,
    PRIMARY KEY (contact_id, conversion_id, order_id)
);
CREATE INDEX conversion_facts_by_conversion ON conversion_facts (conversion_id);

-- The latest that Meta said of a template or number.
CREATE TABLE quality_facts (
    subject text COLLATE "C" PRIMARY KEY,
    change_time timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    score text COLLATE "C" NOT NULL,
    bad boolean NOT NULL
);

CREATE TABLE alert_rules (
    alert_rule_id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    update_time timestamptz NOT NULL,
    -- Deleted ones stay, so that what is built in does not come back
    deleted boolean NOT NULL DEFAULT false,
    -- When a replica looks at it next
    check_time timestamptz NOT NULL,
    -- All of it (MessagePack)
    rule bytea NOT NULL
);
CREATE INDEX alert_rules_by_check ON alert_rules (check_time) WHERE NOT deleted;

-- What rules remember of each subject between two looks: how often in a row it was so, or was not.
CREATE TABLE alert_watches (
    alert_rule_id text COLLATE "C" NOT NULL,
    subjects text[] COLLATE "C" NOT NULL,
    breached integer NOT NULL,
    calm integer NOT NULL,
    look_time timestamptz NOT NULL,
    PRIMARY KEY (alert_rule_id, subjects)
);

CREATE TABLE alerts (
    alert_id text COLLATE "C" PRIMARY KEY,
    alert_rule_id text COLLATE "C" NOT NULL,
    subjects text[] COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    open_time timestamptz NOT NULL,
    failed_deliveries integer NOT NULL DEFAULT 0,
    -- All of it (MessagePack)
    alert bytea NOT NULL
);
CREATE INDEX alerts_by_open ON alerts (open_time, alert_id);
-- One thing is told once, until it is over
CREATE UNIQUE INDEX alerts_standing ON alerts (alert_rule_id, subjects) WHERE state <> 'resolved';

CREATE TABLE alert_deliveries (
    delivery_id text COLLATE "C" PRIMARY KEY,
    alert_id text COLLATE "C" NOT NULL,
    url text COLLATE "C" NOT NULL,
    secret_name text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    attempts integer NOT NULL,
    due_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (due_time);

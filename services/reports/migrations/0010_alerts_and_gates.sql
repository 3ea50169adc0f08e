-- When routes were told of an alert, for the silence after it; what gates said of messages.
-- depends: 0009_summaries
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE alerts ADD COLUMN told_time timestamptz;
UPDATE alerts SET told_time = open_time;
CREATE INDEX alerts_told ON alerts (alert_rule_id, subjects, told_time);

-- Whoever is told of one alert at one address is told in order
CREATE INDEX alert_deliveries_by_alert ON alert_deliveries (alert_id, url);

-- Each word of a gate that made a message wait or end, once
CREATE TABLE gate_words (
    contact_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    say_time timestamptz NOT NULL,
    gate text COLLATE "C" NOT NULL,
    refused boolean NOT NULL,
    -- A word for programs; empty where none was given
    reason text COLLATE "C" NOT NULL,
    -- Until when the message waited; null where it does not, or nobody knows
    retry_time timestamptz,
    PRIMARY KEY (contact_id, message_id, say_time, gate)
);
CREATE INDEX gate_words_by_time ON gate_words (say_time);

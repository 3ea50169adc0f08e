-- Who may write what came of a call, turns of campaigns, and what comes before it can be understood.

-- depends: 0008_campaigns
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE messages ADD COLUMN claim bigint NOT NULL DEFAULT 0;

-- By campaign, so that each that has something due gets its turn.
DROP INDEX messages_due;
CREATE INDEX messages_due ON messages (phone_number_id, lane, campaign_id, due_time)
    WHERE state IN (1, 2);
-- What ends at its last moment although its turn does not come: its number or campaign is paused.
CREATE INDEX messages_late ON messages (not_after) WHERE state IN (1, 2) AND not_after > 0;
CREATE INDEX messages_over_budget ON messages (campaign_id) WHERE state = 2 AND gate = 'budget';
CREATE INDEX messages_at_number ON messages (phone_number_id) WHERE state = 2 AND gate = 'number';
-- What is listed, latest first.
CREATE INDEX messages_of_number ON messages (phone_number_id, plan_time, message_id);
CREATE INDEX messages_of_occurrence ON messages (occurrence_id) WHERE occurrence_id <> '';

-- Statuses that name no message of ours, by a number from which some are under way: the answer to
-- a call may still tell whose they are.
CREATE TABLE orphans (
    event_id text PRIMARY KEY,
    wamid text NOT NULL,
    status bytea NOT NULL,
    onward text NOT NULL, -- trace context
    until bigint NOT NULL -- from then on it is of somebody else's message
);

-- True until it begins: what waits for a price is asked again then.
ALTER TABLE rate_cards ADD COLUMN announced boolean NOT NULL DEFAULT false;

-- Who read the content of which message, and what for.
CREATE TABLE reads (
    read_time bigint NOT NULL,
    caller text NOT NULL,
    purpose text NOT NULL,
    method text NOT NULL,
    message_id text NOT NULL
);
CREATE INDEX reads_by_time ON reads USING brin (read_time);
CREATE INDEX reads_of_message ON reads (message_id, read_time);

-- Volumes of a month that Meta says were reached, which decide the tier where our own count is less.
CREATE TABLE volume_tiers (
    waba_id text NOT NULL,
    month integer NOT NULL,
    region text NOT NULL,
    category text NOT NULL,
    volume bigint NOT NULL,
    PRIMARY KEY (waba_id, month, region, category)
);

-- What becomes of a message after its claim is written where it stands, without its indexes.

-- depends: 0009_delivery
-- contract: of the first release, so no version before it runs beside it

-- Postgres spares the indexes when an update changes no column that any of them names, also in its
-- condition. So conditions name columns that follow from the state and change only with the turn of
-- a message; none names the state itself, the times of what is told later, or Meta's id.
ALTER TABLE messages
    ADD COLUMN is_waiting boolean NOT NULL GENERATED ALWAYS AS (state IN (1, 2)) STORED,
    ADD COLUMN is_held boolean NOT NULL GENERATED ALWAYS AS (state = 2) STORED,
    ADD COLUMN is_unknown boolean NOT NULL GENERATED ALWAYS AS (state = 4) STORED,
    -- What the gates said when it last came to its turn, and by which rules.
    ADD COLUMN decide_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN edition integer NOT NULL DEFAULT 0, -- of the rulebook
    ADD COLUMN verdicts bytea NOT NULL DEFAULT '',
    -- Room for what is written later on the page of the row.
    SET (fillfactor = 50);

DROP INDEX messages_due, messages_late, messages_over_budget, messages_at_number, messages_held,
    messages_waiting, messages_open, messages_in_flight, messages_of_contact, messages_by_wamid;
CREATE INDEX messages_due ON messages (phone_number_id, lane, campaign_id, due_time)
    WHERE is_waiting;
CREATE INDEX messages_late ON messages (not_after) WHERE is_waiting AND not_after > 0;
CREATE INDEX messages_waiting ON messages (campaign_id) WHERE is_waiting AND campaign_id <> '';
CREATE INDEX messages_over_budget ON messages (campaign_id) WHERE is_held AND gate = 'budget';
CREATE INDEX messages_at_number ON messages (phone_number_id) WHERE is_held AND gate = 'number';
CREATE INDEX messages_held ON messages (gate, due_time) WHERE is_held;
CREATE INDEX messages_unknown ON messages (due_time) WHERE is_unknown;
-- What a person was sent goes by when it was tried: known at the turn, and never put off.
CREATE INDEX messages_of_contact ON messages (contact_id, attempt_time);

-- Until when messages that were claimed together are their process's; gone when it wrote what came
-- of each of them.
CREATE TABLE leases (
    claim bigint PRIMARY KEY,
    phone_number_id text NOT NULL,
    end_time bigint NOT NULL,
    message_ids text[] NOT NULL
);
INSERT INTO leases SELECT claim, min(phone_number_id), max(due_time), array_agg(message_id)
    FROM messages WHERE state = 3 GROUP BY claim;

-- Messages by the ids that Meta gave them.
CREATE TABLE wamids (
    wamid text PRIMARY KEY,
    message_id text NOT NULL
);
INSERT INTO wamids SELECT wamid, min(message_id) FROM messages WHERE wamid <> '' GROUP BY wamid;

-- What waits is asked again by its turn; of what left only the outcome is kept.
DROP TABLE decisions;

-- What the business allows itself, what the gates said, and what messages cost.

-- depends: 0003_erasures
-- contract: of the first release, so no version before it runs beside it

-- One row for the installation; none while nobody set anything.
CREATE TABLE policy (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL,
    definition bytea NOT NULL,
    update_time bigint NOT NULL
);

-- Counts changes of the policy and of rate cards: whoever decides sees by it whether what it
-- remembers is in force.
CREATE TABLE rulebook (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    edition integer NOT NULL
);
INSERT INTO rulebook (edition) VALUES (0);

-- Gates whose rules changed: what they held by an earlier edition is asked again.
CREATE TABLE recalls (
    gate text PRIMARY KEY,
    edition integer NOT NULL,
    time bigint NOT NULL
);

-- Whoever counts what a contact was sent holds its row until the count is written. What is counted
-- are the messages themselves: an attempt is its own reservation, and a refused one frees it.
CREATE TABLE turnstiles (
    contact_id text PRIMARY KEY
);
CREATE INDEX messages_in_flight ON messages (contact_id)
    WHERE state IN (3, 4) OR (state = 9 AND reason = 'unconfirmed');
CREATE INDEX messages_held ON messages (gate, due_time) WHERE state = 2;

-- What the gates said when a message last came to its turn.
CREATE TABLE decisions (
    message_id text PRIMARY KEY,
    decide_time bigint NOT NULL,
    edition integer NOT NULL, -- of the rulebook
    verdicts bytea NOT NULL
);

ALTER TABLE messages ADD COLUMN cost_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN currency text NOT NULL DEFAULT '';

ALTER TABLE campaigns ADD COLUMN budget_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE campaigns ADD COLUMN budget_currency text NOT NULL DEFAULT '';
ALTER TABLE campaigns ADD COLUMN ignores_control boolean NOT NULL DEFAULT false;

-- What the messages of campaigns with a budget cost, by the rate card: reserved with each attempt.
CREATE TABLE spendings (
    campaign_id text PRIMARY KEY,
    micros bigint NOT NULL
);

CREATE TABLE rate_cards (
    rate_card_id text PRIMARY KEY,
    waba_id text NOT NULL,
    currency text NOT NULL,
    name text NOT NULL,
    free_service_messages bigint NOT NULL,
    effective_time bigint NOT NULL,
    create_time bigint NOT NULL,
    rates bytea NOT NULL
);
CREATE INDEX rate_cards_by_time ON rate_cards (effective_time, rate_card_id);

-- Messages of a month that Meta charged for, by whom its tiers or allowances are for: a portfolio,
-- account or number. Several rows for one count, so that replicas do not wait for each other.
CREATE TABLE volumes (
    owner text NOT NULL,
    month integer NOT NULL,
    market text NOT NULL,
    category text NOT NULL,
    slot smallint NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (owner, month, market, category, slot)
);

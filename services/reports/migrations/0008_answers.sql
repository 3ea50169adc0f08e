-- What answers need besides sums of messages.
-- depends: 0007_exports
-- contract: of the first release, so no version before it runs beside it

-- What people wrote to us, and what the business wrote to them outside Merhaba: when, never what.
CREATE TABLE letters (
    contact_id text COLLATE "C" NOT NULL,
    letter_id text COLLATE "C" NOT NULL,
    write_time timestamptz NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    ours boolean NOT NULL,
    PRIMARY KEY (contact_id, letter_id)
);
CREATE INDEX letters_by_time ON letters (write_time);
CREATE INDEX letters_by_contact ON letters (contact_id, write_time);

-- Besides what messages are counted by, `contact_history` holds `created` and `consent` (`granted`,
-- `granted <until, epoch ms>` or `withdrawn`), by which people are counted.
CREATE INDEX contact_history_of_people ON contact_history (name, change_time)
WHERE name IN ('created', 'consent', 'stage');

-- What made a trigger fire.
ALTER TABLE occurrences ADD COLUMN cause_event_id text COLLATE "C" NOT NULL DEFAULT '';

-- What each transaction counted anew, for an hour, for whoever watches. What is complete is told by
-- the number of the transaction: every one before the oldest that still runs.
CREATE TABLE pulses (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    fold_time timestamptz NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    -- What by campaign (MessagePack)
    counts bytea NOT NULL
);
CREATE INDEX pulses_by_transaction ON pulses (transaction_id);
CREATE INDEX pulses_by_time ON pulses (fold_time);

-- The audit: who read what of whom, and what for.
CREATE TABLE reads (
    read_time timestamptz NOT NULL,
    caller text NOT NULL,
    purpose text NOT NULL,
    method text NOT NULL,
    contact_id text COLLATE "C" NOT NULL
);
CREATE INDEX reads_by_time ON reads (read_time);
CREATE INDEX reads_by_contact ON reads (contact_id);

-- What Meta's analytics said of a day (UTC) when it was last asked and still told.
CREATE TABLE meta_figures (
    waba_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    source text COLLATE "C" NOT NULL,
    -- By what it is told, in the order of the source
    subjects text[] COLLATE "C" NOT NULL,
    measure text COLLATE "C" NOT NULL,
    value double precision NOT NULL,
    ask_time timestamptz NOT NULL,
    PRIMARY KEY (waba_id, day, source, subjects, measure)
);

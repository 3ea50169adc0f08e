-- What people agreed to, kept as it was said; what the law lets them ask for; how long things are
-- kept.

-- depends: 0001_contacts
-- contract: of the first release, so no version before it runs beside it

-- The order of entry, for whoever exports the ledger.
ALTER TABLE consents ADD COLUMN entry bigint GENERATED ALWAYS AS IDENTITY;
ALTER TABLE consents ADD COLUMN create_time bigint NOT NULL DEFAULT 0;
CREATE INDEX consents_by_entry ON consents (entry);

-- The ledger is only ever added to. Lines go with their person, whose key goes first.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM keys WHERE contact_id = OLD.contact_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the ledger of consents is only added to'
        USING ERRCODE = 'restrict_violation', HINT = 'record another line';
END
$$;
CREATE TRIGGER consents_stay BEFORE UPDATE OR DELETE ON consents
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER consents_stay_all BEFORE TRUNCATE ON consents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Erasures, for good: they hold nothing personal. `identities` is sealed, and empty once every
-- service has erased what it holds.
CREATE TABLE erasures (
    request_id text PRIMARY KEY,
    contact_id uuid NOT NULL,
    member_ids uuid[] NOT NULL,
    reason text NOT NULL,
    caller text NOT NULL,
    create_time bigint NOT NULL,
    complete_time bigint,
    identities bytea,
    next_time bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    last_failure text NOT NULL DEFAULT ''
);
CREATE INDEX erasures_open ON erasures (next_time) WHERE complete_time IS NULL;

-- What each service has to erase for it, or has: then there is its receipt.
CREATE TABLE erasure_parts (
    request_id text NOT NULL,
    service text NOT NULL,
    receipt bytea,
    PRIMARY KEY (request_id, service)
);

-- Who is erased, under every id they had.
CREATE TABLE erased_contacts (
    contact_id uuid PRIMARY KEY,
    request_id text NOT NULL
);

-- Identities of the erased, by their blind index: what is older than the erasure and says one of
-- them is left out.
CREATE TABLE erased_identities (
    identity bytea PRIMARY KEY,
    request_id text NOT NULL,
    erase_time bigint NOT NULL
);

-- Only those that were changed; the others are as they are shipped.
CREATE TABLE data_categories (
    name text PRIMARY KEY,
    category bytea NOT NULL
);

-- One row: how far what is too old was deleted. Whoever deletes a batch holds it.
CREATE TABLE retention (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    after_contact uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    after_time bigint NOT NULL DEFAULT -9223372036854775808,
    after_event uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    next_time bigint NOT NULL DEFAULT 0,
    passed bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0
);
INSERT INTO retention DEFAULT VALUES;

-- Who people are, what happened to them and what they agreed to. Every time is in milliseconds
-- since 1970 UTC. A merged contact's events and consents stay under the id they came with:
-- readers ask for all ids of a person, so that a merge moves no history and can be undone.

-- depends:

-- `identity` is a keyed hash of kind, scope and value; the values themselves are in the document.
CREATE TABLE identities (
    identity bytea PRIMARY KEY,
    contact_id uuid NOT NULL
);

-- The fill factor leaves room for the next version of a row on its page: a document changes with
-- every event, and no index has to know.
CREATE TABLE contacts (
    contact_id uuid PRIMARY KEY,
    survivor_id uuid,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    document bytea NOT NULL
) WITH (fillfactor = 70);

-- What opens a contact's document, events and consents: a key of its own, wrapped by a master key.
-- Written once; without its row nothing sealed about the contact can ever be read again.
CREATE TABLE keys (
    contact_id uuid PRIMARY KEY,
    master_id text NOT NULL,
    wrapped bytea NOT NULL
);

-- `document`, `body` and `line` are sealed. In the clear are ids, times, names of events and
-- purposes: what an index needs.
CREATE TABLE events (
    contact_id uuid NOT NULL,
    event_time bigint NOT NULL,
    event uuid NOT NULL,
    name text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (contact_id, event_time, event)
);

CREATE TABLE consents (
    contact_id uuid NOT NULL,
    event_time bigint NOT NULL,
    consent_id text NOT NULL,
    purpose text NOT NULL,
    line bytea NOT NULL,
    PRIMARY KEY (contact_id, event_time, consent_id)
);

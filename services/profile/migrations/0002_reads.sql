-- Who read personal data, and what for. One row for all contacts of one answer: a thousand times
-- cheaper than one for each, and as good to ask.

-- depends: 0001_contacts

CREATE TABLE reads (
    read_time bigint NOT NULL,
    read_id bigint GENERATED ALWAYS AS IDENTITY,
    caller text NOT NULL,
    purpose text NOT NULL,
    method text NOT NULL,
    contact_ids uuid[] NOT NULL,
    fields text[] NOT NULL,
    PRIMARY KEY (read_time, read_id)
);
CREATE INDEX reads_by_contact ON reads USING gin (contact_ids);

-- Contacts whose states are to be made anew from profile's history: those that were parted, and
-- those that were absorbed, in case that something of them came late.

-- depends: 0001_segment

CREATE TABLE rebuilds (
    contact_id uuid PRIMARY KEY,
    due_time bigint NOT NULL
);
CREATE INDEX rebuilds_due ON rebuilds (due_time);
COMMENT ON COLUMN rebuilds.due_time IS 'ms since 1970 UTC';

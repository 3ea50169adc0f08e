-- What Meta's answers say of a contact.

-- depends: 0004_policy

-- `last_time`: Meta withheld a marketing message as one too many; `opted_out_time`: they stopped
-- offers at Meta; `unreachable_time`: nothing could be delivered to them.
ALTER TABLE saturations ALTER COLUMN last_time SET DEFAULT 0;
ALTER TABLE saturations ADD COLUMN opted_out_time bigint NOT NULL DEFAULT 0;
ALTER TABLE saturations ADD COLUMN unreachable_time bigint NOT NULL DEFAULT 0;

-- A queue's dead rows stand in front of the living: clean up early.
ALTER TABLE messages SET (autovacuum_vacuum_scale_factor = 0.05);

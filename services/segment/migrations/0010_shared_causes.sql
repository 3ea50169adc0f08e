-- What many have one occurrence of each because of: who has become another has had it.

-- depends: 0009_sweeps
-- contract: of the first release, so no version before it runs beside it

ALTER TABLE occurrences ADD COLUMN shared_cause text;
CREATE INDEX occurrences_shared ON occurrences (contact_id, shared_cause)
    WHERE shared_cause IS NOT NULL;
COMMENT ON COLUMN occurrences.shared_cause IS 'the fanout';
